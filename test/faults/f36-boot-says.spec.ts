import { afterEach, describe, expect, it } from '@jest/globals';
import { mkdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { DockerTestService } from '../support/docker-service.js';
import { freePorts } from '../support/ports.js';
import { type ServiceSettings, TestService } from '../support/service.js';

interface Check {
  readonly name: string;
  readonly status: string;
  readonly message: string | null;
  readonly remedy: string | null;
  readonly models: readonly string[];
  readonly checked_at: string;
}

const cleanUp: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const each of cleanUp.splice(0).reverse()) await each();
});

async function boot(settings: ServiceSettings = {}): Promise<TestService> {
  const service = await TestService.create(settings);
  cleanUp.push(() => service.dispose());
  return service;
}

async function bootOnDocker(settings: ServiceSettings): Promise<TestService> {
  const docker = await DockerTestService.boot(settings);
  cleanUp.push(() => docker.dispose());
  return docker.service;
}

async function checks(service: TestService): Promise<readonly Check[]> {
  const { status, body } = await service.get<Check[]>('/health/checks');
  expect(status).toBe(200);
  return body;
}

/** Warnings of the checks in the log, once all have been made. */
async function warned(service: TestService): Promise<{ name: string; msg: string; remedy: string }[]> {
  await checks(service);
  const lines = service.log.split('\n').filter((line) => line.includes('"check":'));
  return lines.map((line) => {
    const { check, msg, remedy } = JSON.parse(line) as { check: string; msg: string; remedy: string };
    return { name: check, msg, remedy };
  });
}

/** Each has its line in the log and in the answer, both with a remedy. */
async function expectWarning(service: TestService, name: string, words: RegExp): Promise<void> {
  const found = (await checks(service)).filter((each) => each.name === name && each.status === 'warn');
  expect(found.map(({ message }) => message)).toEqual([expect.stringMatching(words)]);
  expect(found[0]?.remedy).toMatch(/\w{3}/);
  const lines = (await warned(service)).filter((each) => each.name === name);
  expect(lines.map(({ msg }) => msg)).toEqual([expect.stringMatching(words)]);
}

describe('F36: what will not work is said at boot', () => {
  it('a host where all is well: no warning, and every check is ok', async () => {
    const service = await boot();
    await service.boot();
    expect(await warned(service)).toEqual([]);
    const all = await checks(service);
    expect(all.filter(({ status }) => status !== 'ok')).toEqual([]);
    expect(all.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['clock', 'engine', 'nvml', 'ports', 'triton.ports', 'triton.templates']),
    );
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    expect((await checks(service)).filter(({ status }) => status !== 'ok')).toEqual([]);
  });

  it.each(['process', 'docker'])(
    'ports for one server alone, and several models that may have it (%s): no warning, and any of them can be started',
    async (launcher) => {
      const [first = 0] = await freePorts(1);
      const own = { use_dedicated_server: true };
      const dedicated = { from: first, to: first + 2 };
      const settings = {
        triton: { dedicated_ports: dedicated, model_gpu_configs: { MAM: own, FastFitAll: own } },
      };
      const service = launcher === 'docker' ? await bootOnDocker(settings) : await boot(settings);
      if (launcher === 'process') await service.boot();
      expect(await warned(service)).toEqual([]);
      const plans = (): Promise<unknown>[] =>
        ['MAM', 'FastFitAll'].map(async (model) => {
          const plan = { model_name: model, gpu_id: 0 };
          return (await service.call('POST', '/api/v1/models/plan', plan)).body.would;
        });
      expect(await Promise.all(plans())).toEqual(['start', 'start']);
      for (const model of ['FastFitAll', 'MAM', 'FastFitAll']) {
        expect((await service.start(model, 0)).status).toBe(202);
        await service.untilRunning(`${model}@0`);
        expect((await service.stop(model, 0)).status).toBe(200);
      }
      expect(await Promise.all(plans())).toEqual(['start', 'start']);
    },
  );

  it('an address that this host has not, and refuses the start, of both launchers', async () => {
    const config = { server: { trusted_network: true } };
    const service = await boot({ config, models: { MAM: {} }, triton: { bind_address: '192.0.2.7' } });
    await service.boot();
    const words = /^192\.0\.2\.7 is not an address of this host .* correct runners\.triton\.bind_address\.$/;
    await expectWarning(service, 'triton.ports', words);
    const onDocker = await bootOnDocker({ config, triton: { bind_address: 'nosuchhost.invalid' } });
    for (const each of [service, onDocker]) {
      const { status, body } = await each.start('MAM', 0);
      expect({ status, code: body.code }).toEqual({ status: 500, code: 'BIND_ADDRESS_UNUSABLE' });
      expect(body.detail).toContain('runners.triton.bind_address');
      expect(await each.placements()).toEqual([]);
    }
  });

  it('templates, a program and a port: each with its remedy, and the models that need it', async () => {
    const service = await boot({ models: { MAM: {}, FastFitAll: {} }, triton: { command: ['no-triton'] } });
    await rm(join(service.repository, 'MAM/config.pbtxt.template'));
    const holder = createServer().listen(service.tritonPorts.grpc, '127.0.0.1');
    await once(holder, 'listening');
    cleanUp.push(() => new Promise((resolve) => holder.close(resolve)));
    await service.boot();
    await expectWarning(
      service,
      'triton.templates',
      /MAM.*config\.pbtxt\.template does not exist: create it/,
    );
    await expectWarning(service, 'triton.program', /^Command not found: no no-triton on the PATH/);
    await expectWarning(
      service,
      'triton.ports',
      new RegExp(`^Port ${service.tritonPorts.grpc} already in use`),
    );
    const all = await checks(service);
    const modelsOf = (name: string) => all.find((each) => each.name === name)?.models;
    expect(modelsOf('triton.templates')).toEqual(['MAM']);
    expect(modelsOf('triton.program')).toEqual(['FastFitAll', 'MAM']);
    expect(all.find(({ name }) => name === 'clock')).toMatchObject({ status: 'ok', message: null });
  });

  it('a repository that is not there is one line, whatever the number of its models', async () => {
    const service = await boot();
    await rm(service.repository, { recursive: true });
    await service.boot();
    await expectWarning(service, 'triton.repository', /runners\.triton\.model_repository_host_path/);
    expect(await warned(service)).toHaveLength(1);
    await mkdir(service.repository);
  });

  it('GPUs without a driver, and a clock behind the last state', async () => {
    const service = await boot({
      config: { gpus: { source: 'nvml', nvml_library: '/no/such/libnvidia-ml.so.1' } },
    });
    const state = join(service.stateDir, 'desired-state.json');
    await service.boot();
    await service.end('SIGTERM');
    await mkdir(service.stateDir, { recursive: true });
    await writeFile(state, JSON.stringify({ version: 1, deployments: [] }), { flag: 'a' });
    const future = new Date(Date.now() + 86_400_000);
    await utimes(state, future, future);
    await service.boot();
    await service.until(async () =>
      (await checks(service)).some(({ name, status }) => name === 'clock' && status === 'warn'),
    );
    const all = await checks(service);
    expect(all.find(({ name }) => name === 'nvml')).toMatchObject({
      status: 'warn',
      remedy: expect.stringContaining('driver'),
    });
    expect(all.find(({ name }) => name === 'clock')?.message).toMatch(/before the state was last written/);
  });

  it('an Engine that is away, and what it cannot be asked meanwhile; then an image that is not there', async () => {
    const docker = await DockerTestService.boot();
    cleanUp.push(() => docker.dispose());
    const { service, gate, engine } = docker;
    await service.end('SIGTERM');
    await gate.shut();
    const runtime = join(service.stateDir, 'no-runtime');
    const config = parse(await readFile(service.configFile, 'utf8')) as { runners: { triton: object } };
    Object.assign(config.runners.triton, { runtime_host_path: runtime });
    await writeFile(service.configFile, stringify(config));
    await service.boot();
    await expectWarning(
      service,
      'engine',
      /^Cannot connect to the Docker daemon at .*systemctl start docker/,
    );
    await expectWarning(service, 'triton.paths', /correct runners\.triton\.runtime_host_path/);
    expect(await warned(service)).toHaveLength(2);
    await mkdir(runtime);
    await gate.open();
    engine.images.clear();
    await service.until(async () => (await checks(service)).some(({ name }) => name === 'triton.image'));
    const all = await checks(service);
    expect(all.find(({ name }) => name === 'engine')?.status).toBe('ok');
    expect(all.find(({ name }) => name === 'triton.image')).toMatchObject({
      status: 'warn',
      message: expect.stringContaining('is not on this host and pull is "never"'),
      models: ['FastFitAll', 'MAM'],
    });
    expect(engine.changes()).toEqual([]);
  });

  it('an Engine that accepts and never answers holds up neither boot nor answer', async () => {
    const docker = await DockerTestService.boot();
    cleanUp.push(() => docker.dispose());
    const { service, engine } = docker;
    await service.end('SIGTERM');
    engine.fake.override = () => true;
    const since = performance.now();
    await service.boot();
    expect(performance.now() - since).toBeLessThan(4000);
    const looks = await Promise.all(Array.from({ length: 50 }, () => checks(service)));
    expect(performance.now() - since).toBeLessThan(20_000);
    expect(new Set(looks.map(([first]) => first?.checked_at)).size).toBe(1);
    expect(looks[0]?.find(({ name }) => name === 'engine')).toMatchObject({ status: 'warn' });
  });
});
