import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePorts } from '../support/ports.js';
import { TestService } from '../support/service.js';

const LLAMA = join(process.cwd(), 'test/fakes/llama-server.mjs');

let service: TestService;

afterEach(() => service.dispose());

beforeEach(async () => {
  const [port = 0] = await freePorts(1);
  const from = Math.min(port, 32_700);
  const qwen = {
    ...{ command: [process.execPath, LLAMA], health_path: '/health' },
    args: ['--model', '/srv/qwen.gguf', '--host', '{host}', '--port', '{port}'],
  };
  service = await TestService.create({
    runners: { http: { launcher: 'process', ports: { from, to: from + 20 }, models: { qwen } } },
  });
  await service.boot();
});

interface Item {
  readonly gpu_id: number;
  readonly status: string;
  readonly error?: { readonly code: string };
}

/** `1 RUNNING`, `1 ERROR GPU_NOT_FOUND` … of a model. */
async function statusOf(model: string): Promise<string[]> {
  const { body } = await service.get<Item[]>(`/api/v1/models/status/${model}`);
  return body
    .map(({ gpu_id: gpu, status, error }) => [gpu, status, error?.code ?? ''].join(' ').trim())
    .sort();
}

async function uuids(): Promise<string[]> {
  const { body } = await service.get<{ uuid: string }[]>('/api/v1/gpus');
  return body.map(({ uuid }) => uuid);
}

/** `/gpus` shows these placements, GPU by GPU; a reading may be a second old. */
async function untilOnGpus(...placements: string[][]): Promise<void> {
  await service.until(async () => {
    const { body } = await service.get<{ processes: { placement: string | null }[] }[]>('/api/v1/gpus');
    const shown = body.map(({ processes }) => processes.map(({ placement }) => placement));
    return JSON.stringify(shown) === JSON.stringify(placements);
  });
}

/** Those that each server of the http backend was launched for, as it sees them. */
async function pinned(): Promise<string[]> {
  const environments = await Promise.all(
    // One may end between the two.
    (await service.serverPids()).map((pid) => readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')),
  );
  return environments
    .map((text) => /(?:^|\0)CUDA_VISIBLE_DEVICES=([^\0]*)/.exec(text)?.[1])
    .filter((devices) => devices !== undefined)
    .sort();
}

/** The service ends, GPUs are taken out of the host, and it is back. */
async function withoutGpus(...takenOut: number[]): Promise<void> {
  await service.end();
  await service.edit(({ gpus }) => {
    gpus.simulated = { taken_out: takenOut };
  });
  await service.boot();
}

async function groupsOf(model: string): Promise<string[]> {
  const response = await fetch(`http://127.0.0.1:${service.tritonPorts.http}/v2/models/${model}/config`);
  const config = (await response.json()) as { instance_group: { name: string; gpus: number[] }[] };
  return config.instance_group.map(({ name, gpus }) => `${name}: ${gpus.join()}`);
}

/** With what a stop says beside the model and the index. */
function stop(model: string, gpu: number, more: Record<string, unknown>) {
  return service.call<{ detail?: string }>('POST', '/api/v1/models/stop', {
    model_name: model,
    gpu_id: gpu,
    ...more,
  });
}

describe('F26: a GPU is taken out while the service is down', () => {
  it('an ERROR of a GPU that is gone is stopped by its UUID, and what serves under its index stays', async () => {
    await service.start('MAM', 2);
    await service.start('MAM', 3);
    await service.untilRunning('MAM@2', 'MAM@3');
    const [, , gone = '', moved = ''] = await uuids();
    await withoutGpus(2);
    await service.until(async () => (await statusOf('MAM')).join() === '2 ERROR GPU_NOT_FOUND,2 RUNNING');
    expect(await service.errorOf('MAM')).toMatchObject({
      message: expect.stringContaining(`"gpu_uuid": "${gone}"`),
    });
    expect(await stop('MAM', 2, { gpu_uuid: 7 })).toMatchObject({ status: 400 });
    expect(await stop('MAM', 0, { gpu_uuid: gone })).toMatchObject({
      status: 404,
      body: { code: 'MODEL_NOT_RUNNING' },
    });
    expect((await stop('MAM', 2, { gpu_uuid: gone })).status).toBe(200);
    expect(await statusOf('MAM')).toEqual(['2 RUNNING']);
    expect((await service.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
    expect((await stop('MAM', 2, { gpu_uuid: moved })).status).toBe(200);
    expect(await service.placements()).toEqual([]);
  });

  it('servers of one placement stay on their own GPUs, and no second one comes onto these', async () => {
    const [, b = '', c = '', d = ''] = await uuids();
    await service.start('qwen', 1);
    await service.start('qwen', 2);
    await service.untilRunning('qwen@1', 'qwen@2');
    const pids = await service.serverPids();
    await withoutGpus(1);
    await service.until(async () => (await statusOf('qwen')).join() === '1 ERROR GPU_NOT_FOUND,1 RUNNING');
    expect((await service.errorOf('qwen'))?.message).toContain(b);
    await service.until(async () => (await service.serverPids()).length === 1);
    expect(pids).toContain((await service.serverPids())[0]);
    expect(await pinned()).toEqual([c]);
    await untilOnGpus([], ['qwen@1'], []);

    // It runs there already, whatever it was called before; and on the GPU behind it is a place of its own.
    expect((await service.start('qwen', 1)).body.status).toBe('RUNNING');
    await service.start('qwen', 2);
    await service.untilRunning('qwen@1', 'qwen@2');
    expect(await pinned()).toEqual([c, d]);
    await untilOnGpus([], ['qwen@1'], ['qwen@2']);

    // What dies comes back on its own GPU, in this run of the service and in the next.
    for (const pid of await service.serverPids()) process.kill(pid, 'SIGKILL');
    await service.until(async () => (await pinned()).join() === [c, d].join());
    await service.untilRunning('qwen@1', 'qwen@2');
    await withoutGpus();
    await service.untilRunning('qwen@2', 'qwen@3');
    expect(await pinned()).toEqual([c, d]);
    for (const gpu of [1, 2, 3]) expect((await service.stop('qwen', gpu)).status).toBe(200);
    expect(await service.serverPids()).toEqual([]);
    expect(await statusOf('qwen').catch(() => [])).toEqual([]);
  });

  it('a Triton serves on with its own GPUs, and is given no other for one of these', async () => {
    await service.start('MAM', 1);
    await service.start('MAM', 2);
    await service.untilRunning('MAM@1', 'MAM@2');
    const pids = await service.serverPids();
    await withoutGpus(1);
    await service.until(async () => (await statusOf('MAM')).join() === '1 ERROR GPU_NOT_FOUND,1 RUNNING');
    await service.until(async () => (await groupsOf('MAM')).join() === 'gpu_2: 2');
    await untilOnGpus([], ['MAM@1'], []);
    await service.start('MAM', 2);
    await service.untilRunning('MAM@1', 'MAM@2');
    expect(await groupsOf('MAM')).toEqual(['gpu_2: 2', 'gpu_3: 3']);
    expect(await service.serverPids()).toEqual(pids);
    process.kill(pids[0] ?? 0, 'SIGKILL');
    await service.until(async () => (await service.serverPids())[0] !== pids[0]);
    await service.untilRunning('MAM@1', 'MAM@2');
    expect(await groupsOf('MAM')).toEqual(['gpu_2: 1', 'gpu_3: 2']);
  });

  it('after the state was lost, the labels of the servers tell which GPU each is on', async () => {
    const [, , c] = await uuids();
    await service.start('qwen', 2);
    await service.start('MAM', 2);
    await service.untilRunning('MAM@2', 'qwen@2');
    const pids = await service.serverPids();
    await writeFile(join(service.stateDir, 'desired-state.json'), 'no state');
    await withoutGpus(1);
    await service.untilRunning('MAM@1', 'qwen@1');
    expect((await service.serverPids()).sort()).toEqual(pids.sort());
    expect(await pinned()).toEqual([c]);
  });

  it('what runs under this name and nobody wants is not taken for that of another GPU', async () => {
    const [, , , d] = await uuids();
    await service.start('qwen', 2);
    await service.start('MAM', 2);
    await service.untilRunning('MAM@2', 'qwen@2');
    await service.end();
    await writeFile(join(service.stateDir, 'desired-state.json'), '{"version":1,"deployments":[]}');
    await withoutGpus(1);
    await service.start('qwen', 2);
    await service.start('MAM', 2);
    await service.untilRunning('MAM@2', 'qwen@2');
    expect(await pinned()).toEqual([d]);
    expect(await groupsOf('MAM')).toEqual(['gpu_2: 3']);
  });

  it('a state of an earlier version stays with the GPUs that its servers were launched for', async () => {
    const [, , c] = await uuids();
    await service.start('qwen', 2);
    await service.untilRunning('qwen@2');
    const pids = await service.serverPids();
    await service.end();
    const file = join(service.stateDir, 'desired-state.json');
    const state = JSON.parse(await readFile(file, 'utf8')) as {
      deployments: { placements: { gpus?: unknown }[] }[];
    };
    for (const { placements } of state.deployments) for (const placement of placements) delete placement.gpus;
    await writeFile(file, JSON.stringify(state));
    await withoutGpus(1);
    await service.until(async () => (await statusOf('qwen')).join() === '1 RUNNING');
    expect(await service.serverPids()).toEqual(pids);
    expect(await pinned()).toEqual([c]);
    await service.until(async () => (await readFile(file, 'utf8')).includes(c ?? ''));
  });
});
