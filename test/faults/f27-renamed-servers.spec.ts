import { afterEach, describe, expect, it } from '@jest/globals';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DockerTestService } from '../support/docker-service.js';
import { freePorts } from '../support/ports.js';
import { processesOf } from '../support/processes.js';
import { ScriptedService } from '../support/scripted-service.js';
import { type ServiceSettings, TestService } from '../support/service.js';

const cleanUp: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const each of cleanUp.splice(0).reverse()) await each();
});

/** What nobody wants is gone soon: the grace, and a look, ms. */
const GRACE_MS = 2500;
const ORPHANS = { orphans: { interval_seconds: 0.3, grace_seconds: 1 } };

async function triton(settings: ServiceSettings = {}): Promise<TestService> {
  const service = await TestService.create({
    models: { MAM: { load_seconds: 0.1 }, Other: { load_seconds: 0.1 } },
    ...settings,
    config: { ...ORPHANS, ...settings.config },
  });
  cleanUp.push(() => service.dispose());
  await service.boot();
  return service;
}

async function orphansOf(service: TestService): Promise<unknown[]> {
  return (await service.get<unknown[]>('/api/v1/models/orphans')).body;
}

/** The same servers serve, longer than anything that nobody wants would be left alone. */
async function servesOn(service: TestService, ...placements: string[]): Promise<void> {
  await service.untilRunning(...placements);
  const wanted = placements.map((placement) => `${placement}:RUNNING`).sort();
  const calm = performance.now() + GRACE_MS;
  await service.until(async () => {
    expect(await service.placements()).toEqual(wanted);
    expect(await orphansOf(service)).toEqual([]);
    return performance.now() > calm;
  });
}

describe('F27: the names of Triton are others after a restart of the service', () => {
  it('the shared server serves on under its old name and ports, until it is ended', async () => {
    const service = await triton();
    await service.start('MAM', 0);
    await service.start('Other', 1);
    await service.untilRunning('MAM@0', 'Other@1');
    const pids = await service.serverPids();
    await service.end('SIGKILL');
    const [http = 0, grpc = 0, metrics = 0] = await freePorts(3);
    await service.editRunners((runners) =>
      Object.assign(runners.triton ?? {}, {
        container_name: 'renamed',
        http_port: http,
        grpc_port: grpc,
        metrics_port: metrics,
      }),
    );
    await service.boot();
    await servesOn(service, 'MAM@0', 'Other@1');
    expect(await service.serverPids()).toEqual(pids);
    expect(await service.loadsOf('MAM')).toBe(1);
    expect((await service.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
    // A further GPU goes to the server that there is.
    expect((await service.start('MAM', 2)).body.port).toBe(service.tritonPorts.http);
    await service.untilRunning('MAM@0', 'MAM@2', 'Other@1');
    expect(await service.serverPids()).toEqual(pids);
    for (const [model, gpu] of [
      ['MAM', 0],
      ['MAM', 2],
      ['Other', 1],
    ] as const) {
      expect((await service.stop(model, gpu)).status).toBe(200);
    }
    expect(await processesOf(service.stateDir)).toEqual([]);
    expect((await service.start('MAM', 0)).body.port).toBe(http);
    await service.untilRunning('MAM@0');
    expect(await readdir(join(service.stateDir, 'processes'))).toEqual(['renamed.json']);
  });

  it('one that has died meanwhile is launched under the new name at once, on the same ports', async () => {
    const service = await triton();
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    const [pid = 0] = await service.serverPids();
    await service.end('SIGKILL');
    process.kill(pid, 'SIGKILL');
    await service.configure({ runners: { triton: { container_name: 'renamed' } } });
    await service.boot();
    await servesOn(service, 'MAM@0');
    expect((await service.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
    const pids = await service.serverPids();
    expect(pids).toHaveLength(1);
    expect(pids).not.toContain(pid);
  });

  it('one that dies afterwards is brought back under the new name', async () => {
    const service = await triton();
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    await service.end('SIGKILL');
    await service.configure({ runners: { triton: { container_name: 'renamed' } } });
    await service.boot();
    await service.untilRunning('MAM@0');
    const [pid = 0] = await service.serverPids();
    process.kill(pid, 'SIGKILL');
    await service.until(async () => {
      const pids = await service.serverPids();
      return pids.length === 1 && pids[0] !== pid;
    });
    await servesOn(service, 'MAM@0');
    expect(await service.loadsOf('MAM')).toBe(2);
  });

  it.each([
    ['shared', 'a server of its own', {}, { MAM: { use_dedicated_server: true } }],
    ['a server of its own', 'shared', { MAM: { use_dedicated_server: true } }, {}],
  ])(
    'a model that was in %s and is now to have %s stays where it serves',
    async (_was, _is, before, after) => {
      const defaults = { default: { instances_per_gpu: 1 } };
      const service = await triton({ triton: { model_gpu_configs: { ...defaults, ...before } } });
      for (const model of ['MAM', 'Other']) await service.start(model, 0);
      await service.untilRunning('MAM@0', 'Other@0');
      const pids = (await service.serverPids()).sort();
      await service.end('SIGKILL');
      await service.configure({ runners: { triton: { model_gpu_configs: { ...defaults, ...after } } } });
      await service.boot();
      await servesOn(service, 'MAM@0', 'Other@0');
      expect((await service.serverPids()).sort()).toEqual(pids);
      expect(await service.loadsOf('MAM')).toBe(1);
      expect(await service.stop('MAM', 0)).toMatchObject({ status: 200 });
      expect(await service.placements()).toEqual(['Other@0:RUNNING']);
      // From its next start on, it is where the configuration says.
      await service.start('MAM', 0);
      await service.untilRunning('MAM@0', 'Other@0');
      const isOwn = 'MAM' in after;
      expect((await service.serverPids()).length).toBe(isOwn ? 2 : 1);
      await servesOn(service, 'MAM@0', 'Other@0');
    },
  );

  it('a stop that was under way is completed, under the old name', async () => {
    const service = await triton();
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    const [pid = 0] = await service.serverPids();
    process.kill(pid, 'SIGSTOP');
    void service.stop('MAM', 0);
    await service.until(async () => (await service.desired()).length === 0);
    await service.end('SIGKILL');
    process.kill(pid, 'SIGCONT');
    await service.configure({ runners: { triton: { container_name: 'renamed' } } });
    await service.boot();
    await service.until(async () => (await service.placements()).length === 0);
    expect(await processesOf(service.stateDir)).toEqual([]);
  });
});

describe('F27: the launcher is another after a restart of the service', () => {
  it('a process serves on where containers are wanted now, also while the Engine is away', async () => {
    const service = await triton({
      config: { launchers: { docker: { socket_path: '/nowhere/docker.sock' } } },
    });
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    const pids = await service.serverPids();
    await service.end('SIGKILL');
    await service.configure({ runners: { triton: { launcher: 'docker', container_name: 'contained' } } });
    await service.boot();
    await service.untilRunning('MAM@0');
    await sleep(GRACE_MS);
    expect(await service.placements()).toEqual(['MAM@0:RUNNING']);
    expect(await service.serverPids()).toEqual(pids);
    expect((await service.stop('MAM', 0)).status).toBe(200);
    expect(await processesOf(service.stateDir)).toEqual([]);
    expect(await service.start('MAM', 0)).toMatchObject({
      status: 500,
      body: { code: 'DOCKER_UNAVAILABLE' },
    });
  });

  it('a container serves on, renamed, and where processes are wanted now', async () => {
    const docker = await DockerTestService.boot({
      models: { MAM: { load_seconds: 0.1 } },
      config: ORPHANS,
    });
    cleanUp.push(() => docker.dispose());
    const { service, engine } = docker;
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    const containers = engine.running();
    for (const triton of [{ container_name: 'renamed' }, { launcher: 'process', container_name: 'again' }]) {
      await service.end('SIGKILL');
      await service.configure({ runners: { triton } });
      await service.boot();
      await servesOn(service, 'MAM@0');
      expect(engine.running()).toEqual(containers);
    }
    expect((await service.stop('MAM', 0)).status).toBe(200);
    expect(engine.running()).toEqual([]);
  });
});

describe('F27: servers of one placement have other names and ports after a restart of the service', () => {
  it('serve on; one that dies is launched anew as the configuration has it now', async () => {
    const scripted = await ScriptedService.boot({ scripted: { m: {} }, config: ORPHANS });
    cleanUp.push(() => scripted.dispose());
    const { service } = scripted;
    await scripted.running('m', 0, 1);
    await service.end('SIGKILL');
    const [from = 0] = await freePorts(1);
    await service.editRunners((runners) =>
      Object.assign(runners.http ?? {}, { container_name: 'renamed', ports: { from, to: from + 20 } }),
    );
    await service.boot();
    await servesOn(service, 'm@0', 'm@1');
    expect(await scripted.launches('m', 0)).toHaveLength(1);
    await scripted.signal('m', 1, 'SIGKILL');
    await scripted.launch('m', 1, 2);
    await servesOn(service, 'm@0', 'm@1');
    expect(await scripted.launches('m', 0)).toHaveLength(1);
    const { body } = await service.start('m', 1);
    expect(body.port).toBeGreaterThanOrEqual(from);
    for (const gpu of [0, 1]) expect((await service.stop('m', gpu)).status).toBe(200);
    expect(await processesOf(service.stateDir)).toEqual([]);
  });
});
