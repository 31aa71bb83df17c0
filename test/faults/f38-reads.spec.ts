import { afterEach, describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DockerTestService } from '../support/docker-service.js';
import { problemsOf } from '../support/openapi-document.js';
import { freePorts } from '../support/ports.js';
import { TestService } from '../support/service.js';

interface Item {
  readonly model_name: string;
  readonly gpu_id: number;
  readonly status: string;
  readonly pid: number;
  readonly port: number;
  readonly gpu_uuid: string | null;
  readonly since: string;
  readonly restarts: number;
  readonly last_crash?: { readonly log: readonly string[] };
}

const STATUS = '/api/v1/models/status';

let service: TestService;
let docker: DockerTestService | undefined;

afterEach(async () => {
  if (docker) await docker.dispose();
  else await service.dispose();
  docker = undefined;
});

async function items(query = ''): Promise<Item[]> {
  const { status, body } = await service.get<Item[]>(`${STATUS}${query}`);
  expect(status).toBe(200);
  expect(body.flatMap((item) => problemsOf('ModelStatusItem', item))).toEqual([]);
  return body;
}

/** Lines of the service's log that have all these values. */
function lines(facts: Record<string, unknown>): Record<string, unknown>[] {
  return service.log
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter((line) => Object.entries(facts).every(([key, value]) => line[key] === value));
}

/** Statuses of all placements, by the state on disk. */
async function onDisk(): Promise<string[]> {
  const text = await readFile(join(service.stateDir, 'desired-state.json'), 'utf8');
  return [...text.matchAll(/"status": "([A-Z]+)"/g)].map(([, status = '']) => status);
}

async function boot(triton: Record<string, unknown> = {}): Promise<void> {
  const [port = 0] = await freePorts(1);
  const from = Math.min(port, 32_700);
  const qwen = {
    command: [process.execPath, join(process.cwd(), 'test/fakes/llama-server.mjs')],
    health_path: '/health',
    args: ['--model', '/srv/qwen.gguf', '--host', '{host}', '--port', '{port}', '-c', '{option.ctx}'],
    options: { ctx: { type: 'integer', min: 256, max: 8192, default: 4096 } },
  };
  service = await TestService.create({
    models: { MAM: { load_seconds: 0.1 }, FastFitAll: { load_seconds: 0.1 } },
    triton,
    runners: { http: { launcher: 'process', ports: { from, to: from + 20 }, models: { qwen } } },
    config: { restart: { initial_delay_ms: 50, max_delay_ms: 100 } },
  });
  await service.boot();
}

describe('F38: what a placement is, is in a GET', () => {
  it('where it is reached, what it was started with and on which card', async () => {
    await boot({ model_gpu_configs: { FastFitAll: { use_dedicated_server: true }, default: {} } });
    await service.start('qwen', 1, { ctx: 512 });
    await service.start('FastFitAll', 0);
    await service.untilRunning('FastFitAll@0', 'qwen@1');
    const { body: gpus } = await service.get<{ id: number; uuid: string }[]>('/api/v1/gpus');
    const [plain, dedicated] = await items();
    expect(plain).toMatchObject({
      ...{ model_name: 'qwen', options: { ctx: 512 }, gpu_uuid: gpus[1]?.uuid, restarts: 0 },
    });
    expect(dedicated).toMatchObject({ model_name: 'FastFitAll', gpu_uuid: gpus[0]?.uuid });
    expect((await fetch(`http://127.0.0.1:${plain?.port}/health`)).status).toBe(200);
    expect((await fetch(`http://127.0.0.1:${dedicated?.port}/v2/health/live`)).status).toBe(200);
    expect(await service.serverPids()).toEqual(expect.arrayContaining([plain?.pid, dedicated?.pid]));
    expect((await service.get(`${STATUS}/qwen`)).body).toEqual([plain]);
  });

  it('those of one status alone, of every status there is, and no other word', async () => {
    await boot();
    await service.writeModel('FastFitAll', { fail_load: 'no room' });
    await service.start('MAM', 0);
    await service.start('FastFitAll', 1);
    await service.untilError('FastFitAll');
    await service.untilRunning('MAM@0');
    const names = async (query: string) => (await items(query)).map(({ model_name: name }) => name);
    expect(await names('')).toEqual(['MAM']);
    expect(await names('?status=ERROR')).toEqual(['FastFitAll']);
    expect(await names('?status=RUNNING')).toEqual(['MAM']);
    expect(await names('?status=STARTING')).toEqual([]);
    expect(await names('?status=STOPPED')).toEqual([]);
    expect((await names('?status=ERROR&status=RUNNING')).sort()).toEqual(['FastFitAll', 'MAM']);
    expect(await names('/FastFitAll')).toEqual(['FastFitAll']);
    expect(await names('/FastFitAll?status=RUNNING')).toEqual([]);
    for (const word of ['error', 'BROKEN', '', 'ERROR,RUNNING']) {
      const { status, body } = await service.get(`${STATUS}?status=${word}`);
      expect({ word, status, body }).toMatchObject({
        status: 400,
        body: {
          code: 'VALIDATION_FAILED',
          detail: expect.stringContaining('STARTING, RUNNING, STOPPED, ERROR'),
        },
      });
    }
  });

  it('how often it was lost, with its last words, for each model of a server, also after a kill -9 of the service', async () => {
    await boot();
    await service.start('MAM', 0);
    await service.start('FastFitAll', 1);
    await service.untilRunning('FastFitAll@1', 'MAM@0');
    const [pid = 0] = await service.serverPids();
    process.kill(pid, 'SIGKILL');
    await service.until(async () =>
      (await items()).every(({ status, restarts }) => status === 'RUNNING' && restarts === 1),
    );
    const before = await items();
    for (const { model_name: name, last_crash: crash } of before) {
      expect({ name, crash }).toMatchObject({ crash: { message: expect.stringContaining('SIGKILL') } });
      expect(crash?.log.join('\n')).toContain('successfully loaded');
      expect(lines({ event: 'placement', model_name: name, from: 'RUNNING', level: 'warn' })).toMatchObject([
        { log: crash?.log },
      ]);
    }
    await service.until(async () => (await onDisk()).every((status) => status === 'RUNNING'));
    await service.end();
    await service.boot();
    await service.untilRunning('FastFitAll@1', 'MAM@0');
    await service.until(async () => (await items()).every(({ gpu_uuid: uuid }) => uuid !== null));
    expect(await items()).toEqual(before);
  });

  it('the last words of a container', async () => {
    docker = await DockerTestService.boot({ models: { MAM: { load_seconds: 0.1 } } });
    ({ service } = docker);
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    const [item] = await items();
    process.kill(item?.pid ?? 0, 'SIGKILL');
    await service.until(async () =>
      (await items()).some(({ status, restarts }) => status === 'RUNNING' && restarts === 1),
    );
    const [back] = await items();
    expect(back?.last_crash?.log.length).toBeGreaterThan(0);
    expect(lines({ event: 'placement', from: 'RUNNING', level: 'warn' })).toMatchObject([
      { log: back?.last_crash?.log },
    ]);
  });

  it('who did it: events have the request, and refused requests their model and code', async () => {
    await boot();
    const command = (verb: string, body: object, id: string) =>
      service.call('POST', `/api/v1/models/${verb}`, body, { 'X-Request-Id': id });
    await command('start', { model_name: 'MAM', gpu_id: 0 }, 'start-1');
    await service.untilRunning('MAM@0');
    await command('stop', { model_name: 'MAM', gpu_id: 0 }, 'stop-1');
    expect(
      lines({ event: 'placement' }).map(({ from, to, request }) => [from, to, request].join(' ')),
    ).toEqual(['STOPPED STARTING start-1', 'STARTING RUNNING start-1', 'RUNNING STOPPED stop-1']);

    await command('start', { model_name: 'MAM', gpu_id: 99 }, 'bad-1');
    await command('stop', { model_name: 'nope', gpu_id: 0 }, 'bad-2');
    await service.call('POST', '/api/v1/models/start', '{', { 'X-Request-Id': 'bad-3' });
    await service.get(`${STATUS}/MAM?status=BROKEN`);
    await service.until(() => Promise.resolve(lines({ msg: 'request' }).length >= 6));
    expect(lines({ msg: 'request' }).map(({ code, model_name: name }) => [code, name])).toEqual([
      [undefined, undefined],
      [undefined, undefined],
      ['GPU_NOT_FOUND', 'MAM'],
      ['MODEL_UNKNOWN', 'nope'],
      ['INVALID_JSON', undefined],
      ['VALIDATION_FAILED', 'MAM'],
    ]);
  });
});
