import { afterEach, describe, expect, it } from '@jest/globals';
import { TestService } from '../support/service.js';

let service: TestService;

afterEach(() => service.dispose());

async function boot(deadlineSeconds: number): Promise<number> {
  service = await TestService.create({
    models: { MAM: { load_seconds: 0.1 }, FastFitAll: { load_seconds: 0.1 } },
    config: {
      liveness: { deadline_seconds: deadlineSeconds },
      health: { fast_interval_ms: 50, slow_interval_ms: 100, probe_timeout_ms: 300 },
    },
  });
  await service.boot();
  await service.start('MAM', 0);
  await service.start('FastFitAll', 1);
  await service.untilRunning('MAM@0', 'FastFitAll@1');
  const [pid = 0] = await service.serverPids();
  return pid;
}

/** Every change of status of a model, by the log of the service. */
const transitions = (model: string): string[] =>
  service.log
    .split('\n')
    .filter((line) => line.includes(`"msg":"${model} on GPU`))
    .map((line) => /GPU \d+: (\w+ → \w+)/.exec(line)?.[1] ?? '');

describe('F5: Triton freezes', () => {
  it('is restarted after liveness.deadline_seconds, and reads are answered all the while', async () => {
    const pid = await boot(1.5);
    process.kill(pid, 'SIGSTOP');
    const frozenAt = performance.now();
    const latencies: number[] = [];
    await service.until(async () => {
      const before = performance.now();
      await service.placements();
      latencies.push(performance.now() - before);
      const [now] = await service.serverPids();
      return now !== undefined && now !== pid;
    }, 15_000);
    expect(performance.now() - frozenAt).toBeGreaterThan(1400);
    expect(Math.max(...latencies)).toBeLessThan(1000);
    await service.untilRunning('MAM@0', 'FastFitAll@1');
    expect((await service.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
    expect(await service.serverPids()).toHaveLength(1);
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  });

  it('and thaws before that: nothing happens', async () => {
    const pid = await boot(3);
    const before = [...transitions('MAM'), ...transitions('FastFitAll')];
    process.kill(pid, 'SIGSTOP');
    const until = performance.now() + 1500;
    await service.until(async () => {
      expect(await service.placements()).toEqual(['FastFitAll@1:RUNNING', 'MAM@0:RUNNING']);
      return performance.now() > until;
    });
    process.kill(pid, 'SIGCONT');
    const calm = performance.now() + 3000;
    await service.until(async () => {
      expect(await service.placements()).toEqual(['FastFitAll@1:RUNNING', 'MAM@0:RUNNING']);
      return performance.now() > calm;
    });
    expect(await service.serverPids()).toEqual([pid]);
    expect([...transitions('MAM'), ...transitions('FastFitAll')]).toEqual(before);
  });
});
