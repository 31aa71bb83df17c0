import { afterEach, describe, expect, it } from '@jest/globals';
import { TestService } from '../support/service.js';

let service: TestService;

afterEach(() => service.dispose());

async function bootWithTwoModels(restart: Record<string, number>): Promise<number> {
  service = await TestService.create({
    models: { MAM: { load_seconds: 0.1 }, FastFitAll: { load_seconds: 0.1 } },
    config: { restart },
  });
  await service.boot();
  await service.start('MAM', 0);
  await service.start('FastFitAll', 1);
  await service.start('MAM', 2);
  await service.untilRunning('FastFitAll@1', 'MAM@0', 'MAM@2');
  const [pid = 0] = await service.serverPids();
  return pid;
}

describe('F4: Triton is killed', () => {
  it('it is seen within 1 s, and both models are RUNNING again with one load each', async () => {
    const pid = await bootWithTwoModels({ initial_delay_ms: 50 });
    const before = [await service.loadsOf('MAM'), await service.loadsOf('FastFitAll')];
    process.kill(pid, 'SIGKILL');
    await service.until(
      async () => (await service.placements()).every((placement) => !placement.endsWith('RUNNING')),
      1000,
    );
    await service.untilRunning('FastFitAll@1', 'MAM@0', 'MAM@2');
    expect(await service.serverPids()).toHaveLength(1);
    expect(await service.serverPids()).not.toContain(pid);
    expect([await service.loadsOf('MAM'), await service.loadsOf('FastFitAll')]).toEqual(
      before.map((loads) => loads + 1),
    );
  });

  it('again and again: it is brought back ever more rarely, then its models are ERROR and say how it died', async () => {
    let pid = await bootWithTwoModels({ initial_delay_ms: 150, max_attempts: 3, stable_after_seconds: 60 });
    const delays: number[] = [];
    for (let death = 0; death < 3; death += 1) {
      process.kill(pid, 'SIGKILL');
      const died = performance.now();
      const dead = pid;
      await service.until(async () => {
        [pid = 0] = await service.serverPids();
        return pid !== 0 && pid !== dead;
      });
      delays.push(performance.now() - died);
      await service.untilRunning('FastFitAll@1', 'MAM@0', 'MAM@2');
    }
    process.kill(pid, 'SIGKILL');
    const [first = 0, second = 0, third = 0] = delays;
    expect(second).toBeGreaterThan(Math.max(first, 300));
    expect(third).toBeGreaterThan(Math.max(second, 600));
    for (const model of ['MAM', 'FastFitAll']) {
      expect(await service.untilError(model)).toMatchObject({
        code: 'SERVER_LOST',
        message: expect.stringContaining('SIGKILL'),
      });
    }
    expect(await service.placements()).toEqual([]);
    await service.until(async () => (await service.serverPids()).length === 0);
  });
});
