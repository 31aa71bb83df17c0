import { afterEach, describe, expect, it } from '@jest/globals';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { standinVllm } from '../fakes/vllm/standin-vllm.js';
import { DockerTestService } from '../support/docker-service.js';
import { freePorts } from '../support/ports.js';
import { TestService } from '../support/service.js';

const cleanUp: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const each of cleanUp.splice(0).reverse()) await each();
});

async function bootVllm(model: string, entry: Record<string, unknown> = {}): Promise<TestService> {
  const service = await TestService.create({
    vllm: (ports, directory) => ({
      ...standinVllm(ports, { llama: { model: model.replace('<dir>', directory), ...entry } }),
      env: { STANDIN_JOURNAL: join(directory, 'journal') },
    }),
    config: { restart: { initial_delay_ms: 50, max_delay_ms: 100, max_attempts: 5 } },
  });
  cleanUp.push(() => service.dispose());
  await service.boot();
  return service;
}

async function bootHttp(entry: Record<string, unknown>): Promise<TestService> {
  const [port = 0] = await freePorts(1);
  const from = Math.min(port, 32_700);
  const models = { m: { health_path: '/health', ...entry } };
  const service = await TestService.create({
    runners: { http: { launcher: 'process', ports: { from, to: from + 20 }, models } },
    config: { restart: { initial_delay_ms: 50, max_delay_ms: 100, max_attempts: 5 } },
  });
  cleanUp.push(() => service.dispose());
  await service.boot();
  return service;
}

/** Of a start that must be refused before anything is launched. */
async function refusal(service: TestService, model: string): Promise<string> {
  const { status, body } = await service.start(model, 0);
  expect({ status, code: body.code }).toEqual({ status: 500, code: 'HOST_PATH_MISSING' });
  expect(await service.placements()).toEqual([]);
  expect(await service.serverPids()).toEqual([]);
  return String(body.detail);
}

describe('F35: what stays is said at once', () => {
  it.each([
    ['hub', /org\/nosuch is not a local folder and is not a valid model identifier/],
    ['uri', /VLLM_PORT 'tcp:\/\/10\.0\.0\.1:8000' appears to be a URI/],
  ])('a cause that stays (%s) ends a start after one launch', async (kind, words) => {
    const service = await bootVllm(`standin?fail=${kind}`);
    expect((await service.start('llama', 0)).status).toBe(202);
    expect(await service.untilError('llama')).toMatchObject({
      code: 'SERVER_LOST',
      message: expect.stringMatching(words),
    });
    expect(await readFile(join(service.directory, 'journal'), 'utf8')).toBe('loading llama\n');
  });

  it.each(['/no/such/modle', './no/such/modle', '~/no/such/modle', '<dir>/modle'])(
    'a model path with a typing error is refused before 202, with its key: %s',
    async (path) => {
      const service = await bootVllm(path);
      const detail = await refusal(service, 'llama');
      expect(detail).toMatch(/modle is not on this host/);
      expect(detail).toContain('runners.vllm.models.llama.model');
    },
  );

  it('so is the path of a flag, and what is there starts', async () => {
    const service = await bootVllm('standin', { extra_args: ['--chat-template', '/no/such/chat.jinja'] });
    expect(await refusal(service, 'llama')).toContain('runners.vllm.models.llama.extra_args.1');
    const other = await bootVllm('<dir>');
    expect((await other.start('llama', 0)).status).toBe(202);
    await other.untilRunning('llama@0');
  });

  it.each([
    [{ command: ['python3', '/no/such/serve.py'] }, 'command.1'],
    [{ command: ['python3'], args: ['-u', '/no/such/serve.py', '{port}'] }, 'args.1'],
    [{ command: ['bash', '/no/such/run.sh'] }, 'command.1'],
    [{ command: ['/no/such/program'] }, 'command'],
  ])('so is the program of a model of http: %j', async (entry, key) => {
    const service = await bootHttp(entry);
    const { status, body } = await service.start('m', 0);
    const code = key === 'command' ? 'COMMAND_MISSING' : 'HOST_PATH_MISSING';
    expect({ status, code: body.code }).toEqual({ status: 500, code });
    expect(body.detail).toContain(`correct runners.http.models.m.${key}`);
    expect(await service.placements()).toEqual([]);
  });

  it('so is a file where a directory is needed', async () => {
    const docker = await DockerTestService.boot({ triton: { runtime_host_path: '/etc/hostname' } });
    cleanUp.push(() => docker.dispose());
    const { service } = docker;
    expect(await refusal(service, 'MAM')).toBe(
      '/etc/hostname is no directory: create it, or correct runners.triton.runtime_host_path.',
    );
    await service.end('SIGTERM');
    await service.configure({ runners: { triton: { model_repository_host_path: '/etc/hostname' } } });
    await service.boot();
    const { status, body } = await service.start('MAM', 0);
    expect({ status, code: body.code }).toEqual({ status: 500, code: 'MODEL_CONFIG_FAILED' });
    expect(body.detail).toContain(
      'the model repository /etc/hostname is no directory: create it, or correct runners.triton.model_repository_host_path',
    );
    expect(docker.engine.changes()).toEqual([]);
  });

  it('so is that of the other backends', async () => {
    const service = await TestService.create({
      vllm: (ports) => ({
        ...standinVllm(ports, { llama: { model: 'standin' } }),
        command: [process.execPath, '/no/such/vllm.mjs'],
      }),
      models: { MAM: {} },
      triton: { command: [process.execPath, '/no/such/tritonserver.js'] },
    });
    cleanUp.push(() => service.dispose());
    await service.boot();
    expect(await refusal(service, 'llama')).toContain('correct runners.vllm.command.1');
    expect(await refusal(service, 'MAM')).toContain('correct runners.triton.command.1');
  });

  it.each([
    ['python3 -m nosuchmod', /No module named nosuchmod/],
    ['python3 nosuchfile.py', /can't open file '.*nosuchfile\.py'/],
    ['exec nosuchprogram "$0"', /nosuchprogram: not found/],
    ["python3 -c 'import sys; sys.exit(3)'", undefined],
  ])('a program that is not there ends a start after one launch: %s', async (script, words) => {
    const journal = join(tmpdir(), `journal-${randomUUID()}`);
    cleanUp.push(() => rm(journal, { force: true }));
    const service = await bootHttp({
      command: ['sh', '-c', `echo launched >> ${journal}; ${script}`],
      args: ['{port}'],
    });
    expect((await service.start('m', 0)).status).toBe(202);
    const error = await service.untilError('m');
    const launches = (await readFile(journal, 'utf8')).trim().split('\n').length;
    if (words === undefined) expect(launches).toBe(6);
    else {
      expect(error).toMatchObject({ code: 'SERVER_LOST', message: expect.stringMatching(words) });
      expect(launches).toBe(1);
    }
  });

  it('a mounted path that is not there is refused before 202, with its key, and starts once it is', async () => {
    const docker = await DockerTestService.boot({ triton: { runtime_host_path: '/no/such/runtime' } });
    cleanUp.push(() => docker.dispose());
    expect(await refusal(docker.service, 'MAM')).toBe(
      '/no/such/runtime is not on this host, or not to be read: create it, or correct runners.triton.runtime_host_path.',
    );
    expect(docker.engine.changes()).toEqual([]);
    const { service } = docker;
    const runtime = join(service.directory, 'runtime');
    await service.end('SIGTERM');
    await service.configure({ runners: { triton: { runtime_host_path: runtime } } });
    await service.boot();
    await refusal(service, 'MAM');
    await mkdir(runtime);
    expect((await service.start('MAM', 0)).status).toBe(202);
    await service.untilRunning('MAM@0');
  });

  it('a repository that is not there is named by its key', async () => {
    const service = await TestService.create({ models: { MAM: {} } });
    cleanUp.push(() => service.dispose());
    await service.boot();
    await rm(service.repository, { recursive: true });
    const { status, body } = await service.start('MAM', 0);
    expect({ status, code: body.code }).toEqual({ status: 500, code: 'MODEL_CONFIG_FAILED' });
    expect(body.detail).toContain('correct runners.triton.model_repository_host_path');
  });
});
