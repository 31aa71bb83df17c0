import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { standinVllm } from '../fakes/vllm/standin-vllm.js';
import { processesOf } from '../support/processes.js';
import { type ServiceSettings, TestService } from '../support/service.js';
import type { Answer } from '../support/service-client.js';

jest.setTimeout(40_000);

interface PlacementView {
  readonly gpu_id: number;
  readonly status: string;
  readonly pid: number;
  readonly port: number;
  readonly sleeping?: boolean;
  readonly progress?: string;
}

let service: TestService;

async function boot(
  models: Record<string, Record<string, unknown>>,
  { vllm = {}, ...config }: ServiceSettings['config'] & { vllm?: Record<string, unknown> } = {},
): Promise<void> {
  service = await TestService.create({
    vllm: (ports, directory) => ({
      ...standinVllm(ports, models),
      env: { STANDIN_JOURNAL: join(directory, 'journal') },
      ...vllm,
    }),
    config: {
      health: { fast_interval_ms: 50, slow_interval_ms: 100 },
      restart: { initial_delay_ms: 50, max_delay_ms: 100, max_attempts: 2 },
      ...config,
    },
  });
  await service.boot();
}

function sleep(model: string, gpu: number, level?: unknown): Promise<Answer> {
  return service.call('POST', '/api/v1/models/sleep', { model_name: model, gpu_id: gpu, level });
}

function wake(model: string, gpu: number): Promise<Answer> {
  return service.call('POST', '/api/v1/models/wake', { model_name: model, gpu_id: gpu });
}

async function placementOf(model: string): Promise<PlacementView> {
  const { body } = await service.start(model, 0);
  const [first] = body.placements as PlacementView[];
  if (!first) throw new Error(`${model} has no placement`);
  return first;
}

async function started(model: string): Promise<PlacementView> {
  expect((await service.start(model, 0)).status).toBe(202);
  await service.untilRunning(`${model}@0`);
  return placementOf(model);
}

async function statusOf(model: string): Promise<Record<string, unknown> | undefined> {
  const { body } = await service.get<Record<string, unknown>[]>(`/api/v1/models/status/${model}`);
  return body[0];
}

/** What a completion says. */
async function completion(port: number, model: string, tokens = 1): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/v1/completions`, {
    method: 'POST',
    headers: { Connection: 'close', 'Content-Type': 'application/json' },
    body: JSON.stringify({ model, prompt: 'hello', max_tokens: tokens }),
    signal: AbortSignal.timeout(20_000),
  });
  const { choices } = (await response.json()) as { choices: { text: string }[] };
  return choices[0]?.text ?? '';
}

async function metric(port: number, name: string): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return Number(new RegExp(`^vllm:${name}\\S+ (\\S+)$`, 'm').exec(metrics)?.[1]);
}

/** What was asked of the server, of all that is no inference. */
async function asked(): Promise<string[]> {
  const journal = await readFile(join(service.directory, 'journal'), 'utf8');
  return journal
    .split('\n')
    .filter((line) => line.startsWith('POST'))
    .map((line) => line.split(' ')[1] ?? '');
}

const LLAMA = { model: 'standin', sleep_mode: true };

afterEach(async () => {
  const { stateDir } = service;
  await service.dispose();
  for (const pid of await processesOf(stateDir)) process.kill(pid, 'SIGKILL');
});

describe('a vLLM model that sleeps', () => {
  it('sleeps, says so, wakes, and serves as before; each twice changes nothing', async () => {
    await boot({ llama: LLAMA });
    const { pid, port } = await started('llama');
    const launched = (await (await fetch(`http://127.0.0.1:${port}/launched-with`)).json()) as {
      argv: string[];
    };
    expect(launched.argv).toContain('--enable-sleep-mode');
    expect(await statusOf('llama')).not.toHaveProperty('sleeping');

    for (let time = 0; time < 2; time += 1) {
      expect(await sleep('llama', 0)).toMatchObject({
        status: 200,
        body: {
          status: 'RUNNING',
          pid,
          port,
          placements: [{ gpu_id: 0, status: 'RUNNING', sleeping: true }],
        },
      });
    }
    expect(await statusOf('llama')).toMatchObject({ status: 'RUNNING', sleeping: true });
    expect(await service.start('llama', 0)).toMatchObject({
      status: 202,
      body: { status: 'RUNNING', placements: [{ sleeping: true }] },
    });
    for (let time = 0; time < 2; time += 1) {
      const { status, body } = await wake('llama', 0);
      expect(status).toBe(200);
      expect((body.placements as PlacementView[])[0]).not.toHaveProperty('sleeping');
    }
    expect(await statusOf('llama')).not.toHaveProperty('sleeping');
    expect(await completion(port, 'llama')).toBe('a b c');
    expect(await asked()).toEqual(['/sleep?level=1&mode=wait', '/wake_up']);
    expect((await placementOf('llama')).pid).toBe(pid);
  });

  it('at level 2 reads its weights before it serves again, and completes a wake that broke off', async () => {
    await boot({ llama: { model: 'standin?reload=500', served_model_name: 'meta/llama', sleep_mode: true } });
    const { port } = await started('llama');
    expect((await sleep('llama', 0, 2)).status).toBe(200);
    const waiting = completion(port, 'meta/llama');
    await service.until(async () => (await metric(port, 'num_requests_waiting')) === 1);

    const failed = await wake('llama', 0);
    expect([failed.status, failed.body.code]).toEqual([500, 'SLEEP_FAILED']);
    expect(failed.body.detail).toContain('the checkpoint is gone');
    expect(await statusOf('llama')).toMatchObject({ status: 'RUNNING', sleeping: true });
    expect((await wake('llama', 0)).status).toBe(200);
    expect(await waiting).toBe('a b c');
    expect(await asked()).toEqual([
      '/sleep?level=2&mode=wait',
      ...['/wake_up?tags=weights', '/collective_rpc'],
      ...['/wake_up?tags=weights', '/collective_rpc', '/reset_prefix_cache', '/wake_up?tags=kv_cache'],
    ]);
  });

  it('of a version that hides its level sleeps at level 1 alone', async () => {
    await boot({ llama: { model: 'standin?level=hidden', sleep_mode: true } });
    const { port } = await started('llama');
    const refused = await sleep('llama', 0, 2);
    expect([refused.status, refused.body.code]).toEqual([409, 'SLEEP_UNAVAILABLE']);
    expect((await sleep('llama', 0, 1)).status).toBe(200);
    expect((await wake('llama', 0)).status).toBe(200);
    expect(await completion(port, 'llama')).toBe('a b c');
  });

  it('works off its requests first', async () => {
    await boot({ llama: LLAMA });
    const { port } = await started('llama');
    const request = completion(port, 'llama', 80);
    await service.until(async () => (await metric(port, 'num_requests_running')) === 1);
    const asleep = sleep('llama', 0);
    await service.until(async () => String((await statusOf('llama'))?.progress).includes('1 counted'));
    expect(await request).toBe('a b c');
    expect((await asleep).status).toBe(200);
    expect(await statusOf('llama')).toMatchObject({ sleeping: true });
    expect(await statusOf('llama')).not.toHaveProperty('progress');
  });

  it('is refused where it makes no sense, and nothing is asked of the server', async () => {
    await boot(
      { plain: { model: 'standin' }, slow: { model: 'standin?load_ms=60000', sleep_mode: true } },
      { orphans: { interval_seconds: 3600 } },
    );
    await started('plain');
    await service.start('slow', 1);
    await service.start('MAM', 2);
    await service.until(async () => (await service.placements()).includes('MAM@2:RUNNING'));
    const codes = async (...answers: Promise<Answer>[]): Promise<unknown[]> =>
      (await Promise.all(answers)).map(({ status, body }) => [status, body.code]);
    expect(
      await codes(
        sleep('nobody', 0),
        sleep('plain', 3),
        sleep('plain', 0),
        wake('plain', 0),
        sleep('slow', 1),
      ),
    ).toEqual([
      [404, 'MODEL_UNKNOWN'],
      [404, 'MODEL_NOT_RUNNING'],
      [409, 'SLEEP_UNAVAILABLE'],
      [409, 'SLEEP_UNAVAILABLE'],
      [409, 'PLACEMENT_NOT_RUNNING'],
    ]);
    expect(await codes(sleep('MAM', 2), wake('MAM', 2), wake('FastFitAll', 2), wake('slow', 0))).toEqual([
      [501, 'SLEEP_NOT_SUPPORTED'],
      [501, 'SLEEP_NOT_SUPPORTED'],
      [404, 'MODEL_NOT_RUNNING'],
      [404, 'MODEL_NOT_RUNNING'],
    ]);
    for (const level of [0, 3, '1', null, 1.5, [1]]) {
      expect(await codes(sleep('plain', 0, level))).toEqual([[400, 'VALIDATION_FAILED']]);
    }
    expect(await asked()).toEqual([]);
    expect((await service.stop('slow', 1, { force: true })).status).toBe(200);
  });

  it('that fails or hangs is an error in time, and status and stop go on', async () => {
    await boot(
      {
        failing: { model: 'standin?sleep=500', sleep_mode: true },
        hanging: { model: 'standin?sleep=hang', sleep_mode: true },
      },
      { vllm: { sleep_timeout_seconds: 1 } },
    );
    await started('failing');
    const failed = await sleep('failing', 0);
    expect([failed.status, failed.body.code]).toEqual([500, 'SLEEP_FAILED']);
    expect(failed.body.detail).toContain('no memory on the host');
    expect((await service.stop('failing', 0)).status).toBe(200);

    await started('hanging');
    const began = performance.now();
    const hanging = sleep('hanging', 0);
    await service.until(async () => (await statusOf('hanging'))?.progress === 'falling asleep');
    const late = await hanging;
    expect(performance.now() - began).toBeLessThan(5000);
    expect([late.status, late.body.code]).toEqual([500, 'SLEEP_TIMEOUT']);
    const after = await statusOf('hanging');
    expect(after).toMatchObject({ status: 'RUNNING' });
    expect(after).not.toHaveProperty('sleeping');
    const again = sleep('hanging', 0);
    await service.until(async () => (await statusOf('hanging'))?.progress === 'falling asleep');
    expect((await service.stop('hanging', 0)).status).toBe(200);
    expect((await again).body.code).toBe('PLACEMENT_NOT_RUNNING');
    expect(await processesOf(service.stateDir)).toEqual([]);
  });

  it('is not taken for dead while its engine answers nothing', async () => {
    await boot(
      { llama: { model: 'standin?sleep=blocked', sleep_mode: true } },
      {
        liveness: { deadline_seconds: 1 },
        health: { fast_interval_ms: 50, slow_interval_ms: 100, probe_timeout_ms: 500 },
      },
    );
    const { pid } = await started('llama');
    expect((await sleep('llama', 0)).status).toBe(200);
    expect(await placementOf('llama')).toMatchObject({ pid, status: 'RUNNING', sleeping: true });
  });

  it('is found asleep by the next run of the service, and wakes', async () => {
    await boot({ llama: LLAMA });
    const { pid, port } = await started('llama');
    await sleep('llama', 0, 2);
    await service.end('SIGKILL');
    await service.boot();
    await service.until(async () => (await statusOf('llama'))?.sleeping === true);
    expect(await placementOf('llama')).toMatchObject({ pid, status: 'RUNNING' });
    expect((await wake('llama', 0)).status).toBe(200);
    expect(await completion(port, 'llama')).toBe('a b c');
  });

  it('comes back awake when its server dies', async () => {
    await boot({ llama: LLAMA });
    const { pid } = await started('llama');
    await sleep('llama', 0);
    process.kill(pid, 'SIGKILL');
    await service.until(async () => {
      const now = await placementOf('llama');
      return now.status === 'RUNNING' && now.pid !== pid;
    });
    const { port, sleeping } = await placementOf('llama');
    expect(sleeping).toBeUndefined();
    expect(await completion(port, 'llama')).toBe('a b c');
  });

  it.each([{}, { drain_seconds: 30 }, { force: true }])(
    'is stopped (%j) at once, whatever waits',
    async (manner) => {
      await boot({ llama: LLAMA });
      const { port } = await started('llama');
      await sleep('llama', 0);
      const waiting = completion(port, 'llama').catch(() => 'cut off');
      await service.until(async () => (await metric(port, 'num_requests_waiting')) === 1);
      const began = performance.now();
      expect(await service.stop('llama', 0, manner)).toMatchObject({
        status: 200,
        body: { status: 'STOPPED' },
      });
      expect(performance.now() - began).toBeLessThan(6000);
      expect(await waiting).toBe('cut off');
      expect(await processesOf(service.stateDir)).toEqual([]);
    },
  );

  it('answers 200 sleeps and wakes at once, and a stop among them wins', async () => {
    await boot({ llama: LLAMA });
    const { port } = await started('llama');
    const storm = (): Promise<Answer>[] =>
      Array.from({ length: 200 }, (_, index) =>
        index % 3 === 0 ? wake('llama', 0) : sleep('llama', 0, 1 + (index % 2)),
      );
    const calm = await Promise.all(storm());
    expect(calm.filter(({ status }) => status !== 200)).toEqual([]);
    expect((await wake('llama', 0)).status).toBe(200);
    expect(await completion(port, 'llama')).toBe('a b c');

    const stormy = storm();
    const stopped = service.stop('llama', 0);
    const codes = (await Promise.all(stormy)).map(({ status, body }) => `${status} ${String(body.code)}`);
    expect((await stopped).status).toBe(200);
    const allowed = ['200 undefined', '409 PLACEMENT_NOT_RUNNING', '404 MODEL_NOT_RUNNING'];
    expect(codes.filter((each) => !allowed.includes(each))).toEqual([]);
    expect(await service.placements()).toEqual([]);
    expect(await processesOf(service.stateDir)).toEqual([]);
  });
});
