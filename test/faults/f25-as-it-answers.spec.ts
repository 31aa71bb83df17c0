import { afterEach, describe, expect, it } from '@jest/globals';
import { cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { standinVllm } from '../fakes/vllm/standin-vllm.js';
import { ComfyuiStandin } from '../support/comfyui-standin.js';
import { freePorts } from '../support/ports.js';
import { type ServiceSettings, TestService } from '../support/service.js';

const LLAMA = join(process.cwd(), 'test/fakes/llama-server.mjs');

/** What is taken for silent, or for an orphan, is ended soon. */
const HASTE = {
  health: { fast_interval_ms: 100, slow_interval_ms: 200 },
  restart: { initial_delay_ms: 50, max_delay_ms: 100, max_attempts: 2 },
  liveness: { deadline_seconds: 1, progress_seconds: 1 },
  orphans: { interval_seconds: 0.3, grace_seconds: 1 },
};
/** Longer than all of these, ms. */
const CALM_MS = 4000;

let service: TestService;

afterEach(() => service.dispose());

interface Item {
  readonly gpu_id: number;
  readonly status: string;
  readonly outdated?: readonly string[];
  readonly sleeping?: boolean;
  readonly degraded?: string;
}

async function statusOf(model: string): Promise<readonly Item[]> {
  return (await service.get<Item[]>(`/api/v1/models/status/${model}`)).body;
}

async function boot(settings: ServiceSettings): Promise<void> {
  service = await TestService.create({ ...settings, config: HASTE });
  await service.boot();
}

/** The service comes back with another file, and the same processes serve on for longer than a silent one lives. */
async function servesOnAfter(
  edit: (runners: Record<string, Record<string, unknown>>) => void,
  ...placements: string[]
): Promise<void> {
  const pids = await service.serverPids();
  await service.end();
  await service.editRunners(edit);
  await service.boot();
  await service.untilRunning(...placements);
  const wanted = placements.map((placement) => `${placement}:RUNNING`).sort();
  const calm = performance.now() + CALM_MS;
  await service.until(async () => {
    expect(await service.placements()).toEqual(wanted);
    return performance.now() > calm;
  });
  expect(await service.serverPids()).toEqual(pids);
  expect((await service.get('/api/v1/models/orphans')).body).toEqual([]);
}

async function httpSection(address: string): Promise<Record<string, unknown>> {
  const [port = 0] = await freePorts(1);
  const from = Math.min(port, 32_700);
  const qwen = {
    ...{ command: [process.execPath, LLAMA], health_path: '/health' },
    args: ['--model', '/srv/qwen.gguf', '--host', '{host}', '--port', '{port}'],
  };
  return { launcher: 'process', bind_address: address, ports: { from, to: from + 20 }, models: { qwen } };
}

const vllmSection =
  (
    model: Record<string, unknown>,
    more: Record<string, unknown> = {},
  ): NonNullable<ServiceSettings['vllm']> =>
  (ports, directory) => ({
    ...standinVllm(ports, { llama: { model: 'standin', ...model } }),
    ...more,
    env: { STANDIN_JOURNAL: join(directory, 'journal') },
  });

describe('F25: bind_address is another after a restart of the service', () => {
  it('servers of all kinds are asked where they listen, and are outdated', async () => {
    await boot({
      triton: { bind_address: '127.0.0.1' },
      runners: { http: await httpSection('127.0.0.2') },
      vllm: vllmSection({}, { bind_address: '127.0.0.2' }),
    });
    const placements = ['MAM@0', 'qwen@1', 'llama@2'];
    for (const [model, gpu] of [
      ['MAM', 0],
      ['qwen', 1],
      ['llama', 2],
    ] as const)
      await service.start(model, gpu);
    await service.untilRunning(...placements);
    await servesOnAfter(
      ({ triton, http, vllm }) => {
        Object.assign(triton ?? {}, { bind_address: '127.0.0.2' });
        for (const section of [http, vllm]) Object.assign(section ?? {}, { bind_address: '127.0.0.1' });
      },
      ...placements,
    );
    for (const model of ['MAM', 'qwen', 'llama']) {
      expect(await statusOf(model)).toMatchObject([{ outdated: ['args'] }]);
    }
    // What the Triton is told, it is told where it listens.
    expect((await service.start('FastFitAll', 3)).status).toBe(202);
    await service.untilRunning(...placements, 'FastFitAll@3');
    for (const [model, gpu] of [
      ['MAM', 0],
      ['FastFitAll', 3],
      ['qwen', 1],
      ['llama', 2],
    ] as const) {
      expect((await service.stop(model, gpu)).status).toBe(200);
    }
    await service.start('llama', 2);
    await service.untilRunning('llama@2');
    expect((await statusOf('llama'))[0]).not.toHaveProperty('outdated');
  });

  it('a model whose section has gone is asked where its server listens', async () => {
    await boot({ runners: { http: await httpSection('127.0.0.2') } });
    await service.start('qwen', 1);
    await service.untilRunning('qwen@1');
    await servesOnAfter((runners) => delete runners.http, 'qwen@1');
    expect((await service.stop('qwen', 1)).status).toBe(200);
    expect(await service.serverPids()).toEqual([]);
  });
});

describe('F25: the model repository is another after a restart of the service', () => {
  it('a start on the Triton that reads the old one is refused, and names both; what serves there shrinks and stops', async () => {
    await boot({});
    for (const gpu of [0, 1]) await service.start('MAM', gpu);
    await service.untilRunning('MAM@0', 'MAM@1');
    const moved = `${service.repository}-moved`;
    await cp(service.repository, moved, { recursive: true });
    await servesOnAfter(
      ({ triton }) => Object.assign(triton ?? {}, { model_repository_host_path: moved }),
      'MAM@0',
      'MAM@1',
    );
    expect(await statusOf('MAM')).toMatchObject([{ outdated: ['args'] }, { outdated: ['args'] }]);
    for (const model of ['MAM', 'FastFitAll']) {
      const { status, body } = await service.start(model, 2);
      expect([status, body.code]).toEqual([409, 'MODEL_REPOSITORY_CHANGED']);
      expect(body.detail).toContain(`${service.repository},`);
      expect(body.detail).toContain(moved);
      const wish = { model_name: model, gpu_id: 2 };
      const plan = await service.call<{ reason?: { code: string } }>('POST', '/api/v1/models/plan', wish);
      expect(plan.body.reason?.code).toBe('MODEL_REPOSITORY_CHANGED');
    }
    const { body: host } = await service.get<object>('/health/checks');
    expect(JSON.stringify(host)).toContain('takes no start');
    // A GPU less is a load of what the old repository has.
    expect((await service.stop('MAM', 1)).status).toBe(200);
    await service.untilRunning('MAM@0');
    const groups = await readFile(join(service.repository, 'MAM/config.pbtxt'), 'utf8');
    expect(groups).toContain('gpu_0');
    expect(groups).not.toContain('gpu_1');
    expect((await service.stop('MAM', 0)).status).toBe(200);
    await expect(readFile(join(service.repository, 'MAM/config.pbtxt'))).rejects.toThrow('ENOENT');
    // Launched anew, it reads the new one.
    expect((await service.start('FastFitAll', 2)).status).toBe(202);
    await service.untilRunning('FastFitAll@2');
    await readFile(join(moved, 'FastFitAll/config.pbtxt'));
  });

  it('one written otherwise is the same', async () => {
    await boot({});
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    await servesOnAfter(
      ({ triton }) => Object.assign(triton ?? {}, { model_repository_host_path: `${service.repository}/` }),
      'MAM@0',
    );
    expect((await service.start('FastFitAll', 2)).status).toBe(202);
    await service.untilRunning('FastFitAll@2', 'MAM@0');
  });
});

describe('F25: a vLLM model has other settings after a restart of the service', () => {
  it('it is asked for by the name that its server was launched with', async () => {
    await boot({ vllm: vllmSection({ served_model_name: 'before' }) });
    await service.start('llama', 0);
    await service.untilRunning('llama@0');
    await servesOnAfter(
      ({ vllm }) =>
        Object.assign(vllm ?? {}, { models: { llama: { model: 'standin', served_model_name: 'after' } } }),
      'llama@0',
    );
    expect(await statusOf('llama')).toMatchObject([{ outdated: ['args'] }]);
    const journal = await readFile(join(service.directory, 'journal'), 'utf8');
    expect(journal).not.toContain('after');
    // So is one that the configuration has no more.
    await servesOnAfter(
      ({ vllm }) => Object.assign(vllm ?? {}, { models: { other: { model: 'standin' } } }),
      'llama@0',
    );
  });

  it('one that sleeps is known to sleep, is left asleep, and wakes', async () => {
    await boot({ vllm: vllmSection({ sleep_mode: true }) });
    await service.start('llama', 0);
    await service.untilRunning('llama@0');
    const wish = { model_name: 'llama', gpu_id: 0 };
    expect((await service.call('POST', '/api/v1/models/sleep', wish)).status).toBe(200);
    await servesOnAfter(
      ({ vllm }) => Object.assign(vllm ?? {}, { models: { llama: { model: 'standin', sleep_mode: false } } }),
      'llama@0',
    );
    const [item] = await statusOf('llama');
    expect(item).toMatchObject({ sleeping: true, outdated: ['env', 'args'] });
    expect(item).not.toHaveProperty('degraded');
    expect((await service.call('POST', '/api/v1/models/wake', wish)).status).toBe(200);
    expect(await service.placements()).toEqual(['llama@0:RUNNING']);
    expect((await statusOf('llama'))[0]).not.toHaveProperty('sleeping', true);
  });
});

describe('F25: ComfyUI is to run without a GPU, or with one, after a restart of the service', () => {
  it.each([
    ['gpu', 'cpu'],
    ['cpu', 'gpu'],
  ])('one that was launched on a %s is as it should be', async (device, later) => {
    const [from = 0] = await freePorts(1);
    await boot({
      runners: async (directory) => {
        const standin = await ComfyuiStandin.create(directory);
        await standin.behave({});
        return { comfyui: { ...standin.location, device, ports: { from, to: from + 10 } } };
      },
    });
    await service.start('chane_face', 1);
    await service.untilRunning('chane_face@1');
    await servesOnAfter(({ comfyui }) => Object.assign(comfyui ?? {}, { device: later }), 'chane_face@1');
    expect(await statusOf('chane_face')).toMatchObject([{ outdated: ['gpus', 'args'] }]);
  });
});
