import { describe, expect, it, jest } from '@jest/globals';
import { processesOf } from '../support/processes.js';
import type { Answer } from '../support/service-client.js';
import {
  boot,
  completion,
  LLAMA,
  metric,
  placementOf,
  service,
  sleep,
  started,
  statusOf,
  useSleepingVllm,
  wake,
} from '../support/vllm-sleep-service.js';

jest.setTimeout(40_000);
useSleepingVllm();

describe('a vLLM model that sleeps', () => {
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

  it('is shown asleep where the configuration does not have it any more', async () => {
    await boot({ llama: LLAMA, other: LLAMA });
    await started('llama');
    await sleep('llama', 0);
    await service.end('SIGTERM');
    await service.edit(({ runners }) => {
      delete (runners.vllm?.models as Record<string, unknown>).llama;
    });
    await service.boot();
    await service.until(async () => (await statusOf('llama'))?.sleeping === true);
    expect(await statusOf('llama')).toMatchObject({ status: 'RUNNING', in_catalog: false });
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
      // What vLLM would wait for its requests is for those that it can finish.
      await boot({ llama: LLAMA }, { vllm: { stop_grace_seconds: 30 } });
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
