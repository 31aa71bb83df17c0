import { describe, expect, it, jest } from '@jest/globals';
import type { Answer } from '../support/service-client.js';
import {
  asked,
  boot,
  completion,
  LLAMA,
  metric,
  placementOf,
  type PlacementView,
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
});
