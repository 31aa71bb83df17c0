import { afterEach, describe, expect, it } from '@jest/globals';
import { readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type ComfyuiBehaviour, ComfyuiStandin, EMPTY_IMAGE } from '../support/comfyui-standin.js';
import { freePorts } from '../support/ports.js';
import { processesOf } from '../support/processes.js';
import { TestService } from '../support/service.js';

let service: TestService;
let standin: ComfyuiStandin;
let firstPort: number;

afterEach(() => service.dispose());

interface Settings {
  readonly behaviour?: ComfyuiBehaviour;
  readonly section?: Record<string, unknown>;
  readonly config?: Record<string, unknown>;
}

async function boot({ behaviour = {}, section = {}, config = {} }: Settings = {}): Promise<void> {
  [firstPort = 0] = await freePorts(1);
  service = await TestService.create({
    models: { MAM: { load_seconds: 0.1 } },
    runners: async (directory) => {
      standin = await ComfyuiStandin.create(directory);
      await standin.behave(behaviour);
      return {
        comfyui: {
          ...standin.location,
          ports: { from: firstPort, to: firstPort + 10 },
          start_timeout_seconds: 10,
          stop_grace_seconds: 1,
          ...section,
        },
      };
    },
    config: {
      health: { fast_interval_ms: 50, slow_interval_ms: 100, probe_timeout_ms: 300 },
      restart: { initial_delay_ms: 50, max_attempts: 2 },
      ...config,
    },
  });
  await service.boot();
}

async function start(...gpus: number[]): Promise<number[]> {
  for (const gpu of gpus) expect((await service.start('chane_face', gpu)).status).toBe(202);
  await service.untilRunning(...gpus.map((gpu) => `chane_face@${gpu}`));
  return pids();
}

/** Of the servers, by GPU. */
async function pids(): Promise<number[]> {
  return (await placements()).map(({ pid }) => pid ?? 0);
}

/** A start where it serves already changes nothing, and its answer tells all. */
async function placements(): Promise<{ gpu_id: number; pid: number | null; port: number | null }[]> {
  const { body } = await service.call<{ placements: { gpu_id: number; pid: number; port: number }[] }>(
    'POST',
    '/api/v1/models/start',
    { model_name: 'chane_face', gpu_id: 0 },
  );
  return body.placements;
}

async function comfyui<T>(path: string, body?: unknown, port = firstPort): Promise<T> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(5000),
  });
  const text = await response.text();
  return JSON.parse(text === '' ? 'null' : text) as T;
}

const prompt = (): Promise<unknown> => comfyui('/prompt', { prompt: EMPTY_IMAGE });

const images = async (): Promise<string[]> =>
  (await readdir(standin.outputDir)).filter((file) => file.endsWith('.png'));

async function untilBusy(remaining: number): Promise<void> {
  await service.until(async () => {
    const { exec_info: info } = await comfyui<{ exec_info: { queue_remaining: number } }>('/prompt');
    return info.queue_remaining === remaining;
  });
}

/** What the server of GPU 0 has printed. */
const output = (): Promise<string> =>
  readFile(join(service.stateDir, 'logs', 'comfyui_chane_face_0.log'), 'utf8');

const launches = async (): Promise<number> => (await output()).split('ComfyUI version').length - 1;

async function expectNothingLeft(): Promise<void> {
  expect(await service.placements()).toEqual([]);
  expect(await processesOf(service.stateDir)).toEqual([]);
}

describe('ComfyUI over the API', () => {
  it('starts on two GPUs, works, stops on one and then on the other; Triton serves beside it', async () => {
    await boot();
    await start(0, 1);
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0', 'chane_face@0', 'chane_face@1');
    const [, second] = await placements();
    // Two starts at once take the range's ports in either order.
    expect((await placements()).map(({ port }) => port).sort()).toEqual([firstPort, firstPort + 1]);
    const { body: gpus } = await service.get<{ uuid: string }[]>('/api/v1/gpus');
    expect(await comfyui('/visible', undefined, second?.port ?? 0)).toEqual({
      gpus: gpus[1]?.uuid,
      order: 'PCI_BUS_ID',
    });
    await prompt();
    await service.until(async () => (await images()).length === 1);
    expect((await service.stop('chane_face', 0)).body).toMatchObject({ active_gpu_ids: [1] });
    expect(await service.placements()).toEqual(['MAM@0:RUNNING', 'chane_face@1:RUNNING']);
    expect((await service.stop('chane_face', 1)).body).toMatchObject({ status: 'STOPPED' });
    await service.stop('MAM', 0);
    await expectNothingLeft();
    const log = await output();
    expect(log).toMatch(/POST \/free \{"unload_models":true,"free_memory":true\}/);
    expect(log).toMatch(/Stopped server/);
  });

  it('takes options of an allow-list, and no other', async () => {
    await boot();
    const refused = await service.start('chane_face', 0, { listen: '0.0.0.0' });
    expect(refused.status).toBe(400);
    expect(refused.body.detail).toMatch(/listen/);
    expect((await service.start('chane_face', 0, { vram: 'huge' })).status).toBe(400);
    expect((await service.start('chane_face', 0, { vram: 'low', reserve_vram: 1 })).status).toBe(202);
    await service.untilRunning('chane_face@0');
    const { system } = await comfyui<{ system: { argv: string[] } }>('/system_stats');
    expect(system.argv.join(' ')).toMatch(/--lowvram --reserve-vram 1$/);
  });

  it('is refused where it is not configured, or something is missing, before anything changes', async () => {
    await boot({ section: { comfyui_path: null } });
    const refused = await service.start('chane_face', 0);
    expect(refused).toMatchObject({ status: 501, body: { code: 'COMFYUI_NOT_CONFIGURED' } });
    expect(refused.body.detail).toMatch(/runners\.comfyui\.comfyui_path/);
    expect((await service.get('/api/v1/models/supported')).body).toEqual({
      MAM: 'triton',
      chane_face: 'comfyui',
    });
    await service.dispose();
    await boot({ section: { model_configs: { chane_face: { workflow_dir: '/no/such/workflows' } } } });
    expect(await service.start('chane_face', 0)).toMatchObject({
      status: 500,
      body: {
        code: 'COMFYUI_FILE_MISSING',
        detail: expect.stringMatching(
          /^\/no\/such\/workflows is not there.*model_configs\.chane_face\.workflow_dir/,
        ),
      },
    });
    await service.dispose();
    await boot({ section: { python: '/no/such/python' } });
    expect((await service.start('chane_face', 0)).body).toMatchObject({ code: 'COMMAND_MISSING' });
    await expectNothingLeft();
  });

  it('a port that somebody has is passed over', async () => {
    await boot();
    const holder = createServer().listen(firstPort, '127.0.0.1');
    try {
      await start(0);
      expect((await placements())[0]?.port).toBe(firstPort + 1);
    } finally {
      holder.close();
    }
  });
});

describe('a stop of ComfyUI', () => {
  it('with a drain lets the prompts end that are there', async () => {
    await boot({ behaviour: { prompt_seconds: 0.6 } });
    await start(0);
    await prompt();
    await prompt();
    await untilBusy(2);
    expect(await service.stop('chane_face', 0, { drain_seconds: 20 })).toMatchObject({ status: 200 });
    expect(await images()).toHaveLength(2);
    await expectNothingLeft();
  });

  it('without one clears the queue and interrupts', async () => {
    await boot({ behaviour: { prompt_seconds: 20 } });
    await start(0);
    await prompt();
    await prompt();
    await untilBusy(2);
    const began = performance.now();
    expect(await service.stop('chane_face', 0)).toMatchObject({ status: 200 });
    expect(performance.now() - began).toBeLessThan(4000);
    expect(await images()).toEqual([]);
    const log = await output();
    expect(log).toMatch(/POST \/queue \{"clear":true\}\nPOST \/interrupt/);
    expect(log).toMatch(/Processing interrupted/);
    await expectNothingLeft();
  });

  it('of a node that heeds neither interrupt nor SIGINT comes to a forced end, and nothing is left', async () => {
    await boot({ behaviour: { prompt_seconds: 60, stubborn: true } });
    await start(0);
    await prompt();
    await untilBusy(1);
    const began = performance.now();
    expect(await service.stop('chane_face', 0, { drain_seconds: 1 })).toMatchObject({ status: 200 });
    const took = performance.now() - began;
    expect(took).toBeGreaterThan(1900);
    expect(took).toBeLessThan(8000);
    await expectNothingLeft();
  });

  it('by force loses the prompt, at once', async () => {
    await boot({ behaviour: { prompt_seconds: 60, stubborn: true } });
    await start(0);
    await prompt();
    await untilBusy(1);
    const began = performance.now();
    expect(await service.stop('chane_face', 0, { force: true })).toMatchObject({ status: 200 });
    expect(performance.now() - began).toBeLessThan(2000);
    expect(await images()).toEqual([]);
    await expectNothingLeft();
  });
});

describe('faults of ComfyUI', () => {
  it('is killed: it is brought back, alone', async () => {
    await boot();
    const [killed = 0, other = 0] = await start(0, 1);
    process.kill(killed, 'SIGKILL');
    await service.until(async () => (await service.placements()).includes('chane_face@0:STARTING'), 2000);
    await service.untilRunning('chane_face@0', 'chane_face@1');
    const [back, same] = await pids();
    expect(back).not.toBe(killed);
    expect(same).toBe(other);
  });

  it('freezes: it is ended by force and started anew', async () => {
    await boot({ config: { liveness: { deadline_seconds: 1.5 } } });
    const [frozen = 0] = await start(0);
    process.kill(frozen, 'SIGSTOP');
    await service.until(async () => {
      const alive = await service.serverPids();
      return alive.length === 1 && alive[0] !== frozen;
    }, 15_000);
    await service.untilRunning('chane_face@0');
    expect(() => process.kill(frozen, 0)).toThrow('ESRCH');
  });

  it('cannot be imported: ERROR with what its traceback says, and a start after the repair', async () => {
    await boot({ behaviour: { import_fails: true } });
    await service.start('chane_face', 0);
    const error = await service.untilError('chane_face');
    expect(error.code).toBe('SERVER_LOST');
    expect(error.message).toMatch(/ended with exit code 1: ModuleNotFoundError: No module named 'torchsde'/);
    expect(error.log?.join('\n')).toMatch(/Traceback \(most recent call last\):\n {2}File/);
    expect(await launches()).toBe(1);
    await standin.behave({});
    await start(0);
  });

  it('has no frontend: ERROR with its own words after one launch, though it ends with -1', async () => {
    await boot({ behaviour: { frontend_missing: true } });
    await service.start('chane_face', 0);
    const error = await service.untilError('chane_face');
    expect(error.message).toMatch(/ended with exit code 255: comfyui-frontend-package is not installed\.$/);
    expect(await launches()).toBe(1);
  });

  it('is killed while it serves, and cannot be imported any more: ERROR after one more launch', async () => {
    await boot({ config: { restart: { initial_delay_ms: 50, max_attempts: 5 } } });
    const [killed = 0] = await start(0);
    await standin.behave({ import_fails: true });
    process.kill(killed, 'SIGKILL');
    expect((await service.untilError('chane_face')).message).toMatch(/ModuleNotFoundError/);
    expect(await launches()).toBe(2);
  });

  it('is killed in the middle of its import: launched again, whatever its log says', async () => {
    await boot({ behaviour: { import_fails: true, fails_by: 'SIGKILL' } });
    await service.start('chane_face', 0);
    const error = await service.untilError('chane_face');
    expect(error.message).toMatch(/exit code 137 .*ModuleNotFoundError/);
    expect(await launches()).toBe(3);
  });

  it.each([
    [{ device: { type: 'cpu', name: 'cpu' } }, 'gpu', /GPU 0, and says that it runs on "cpu"/],
    [{ device: { name: 'cuda:0 Other GPU : native' } }, 'gpu', /which is no Simulated GPU/],
    [{ device: { vram_total: 8 * 1024 ** 3 } }, 'gpu', /8192 MiB, where 24576 MiB/],
    [{ device: { type: 'cuda', name: 'cuda:0 Simulated GPU' } }, 'cpu', /the CPU, and says/],
  ])('reports another device (%j): ERROR, and the server does not stay', async (behaviour, device, words) => {
    await boot({ behaviour, section: { device } });
    await service.start('chane_face', 0);
    const error = await service.untilError('chane_face');
    expect(error.code).toBe('WRONG_DEVICE');
    expect(error.message).toMatch(words);
    await service.until(async () => (await processesOf(service.stateDir)).length === 0);
    expect(await service.placements()).toEqual([]);
  });

  it('never opens its port: ERROR at start_timeout_seconds, and nothing stays', async () => {
    await boot({ behaviour: { never_up: true }, section: { start_timeout_seconds: 1 } });
    await service.start('chane_face', 0);
    const error = await service.untilError('chane_face');
    expect(error.code).toBe('BACKEND_TIMEOUT');
    expect(error.message).toMatch(/start_timeout_seconds/);
    await service.until(async () => (await processesOf(service.stateDir)).length === 0);
  });

  it('serves on while the service is killed, and is found again', async () => {
    await boot();
    const [before] = await start(0);
    await service.end('SIGKILL');
    await prompt();
    await service.boot();
    await service.untilRunning('chane_face@0');
    expect(await pids()).toEqual([before]);
    expect(await images()).toHaveLength(1);
    await service.stop('chane_face', 0);
    await expectNothingLeft();
  });

  it('is an orphan when the state was lost, and removed after the grace', async () => {
    await boot({ config: { orphans: { interval_seconds: 1, grace_seconds: 1 } } });
    await start(0);
    await service.end('SIGKILL');
    await rm(join(service.stateDir, 'desired-state.json'));
    await service.boot();
    await service.until(async () => {
      const { body } = await service.get<{ server_name: string }[]>('/api/v1/models/orphans');
      return body.some(({ server_name: name }) => name === 'comfyui_chane_face_0');
    });
    await service.until(async () => (await processesOf(service.stateDir)).length === 0, 15_000);
  });
});
