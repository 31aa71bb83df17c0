import { afterEach, describe, expect, it } from '@jest/globals';
import { join } from 'node:path';
import { TestService } from '../support/service.js';

const DAY_MS = 86_400_000;
const TIMEOUT_SECONDS = 2;
let service: TestService;

afterEach(() => service.dispose());

async function boot(): Promise<void> {
  service = await TestService.create({
    models: {
      MAM: { load_seconds: 0.1 },
      FastFitAll: { load_seconds: 0.1 },
      Slow: { load_seconds: 1.2 },
      Hung: { hang_load: true },
      HungUnload: { load_seconds: 0.1, hang_unload: true },
    },
    triton: { api_timeout_seconds: TIMEOUT_SECONDS },
    config: {
      liveness: { deadline_seconds: TIMEOUT_SECONDS },
      health: { fast_interval_ms: 50, slow_interval_ms: 100, probe_timeout_ms: 500 },
      restart: { initial_delay_ms: 300 },
    },
    // Of the service, and of the stand-in that it launches; only the service gets the signal.
    env: { NODE_OPTIONS: `--import=${join(process.cwd(), 'test/support/jumping-clock.mjs')}` },
  });
  await service.boot();
}

/** How far the service's wall clock is from the real one, ms, by the time it gives a start of another model. */
async function offset(): Promise<number> {
  const { body } = await service.start('FastFitAll', 3);
  const at = new Date(String(body.updated_at)).getTime();
  await service.stop('FastFitAll', 3);
  return at - Date.now();
}

/** Jumps on by a day and back by two, a jump every 300 ms, until `over`. */
async function jumping<T>(over: Promise<T>): Promise<T> {
  const timer = setInterval(() => process.kill(service.pid, 'SIGUSR2'), 300);
  try {
    return await over;
  } finally {
    clearInterval(timer);
  }
}

/** ms until it is so. */
async function after(condition: () => Promise<boolean>): Promise<number> {
  const began = performance.now();
  await service.until(condition, 15_000);
  return performance.now() - began;
}

describe('F19: the wall clock jumps by a day, both ways', () => {
  it('loads, hung loads, hung unloads: no deadline fires early, none late, and what runs is untouched', async () => {
    await boot();
    await service.start('MAM', 0);
    await service.start('HungUnload', 1);
    await service.untilRunning('HungUnload@1', 'MAM@0');
    const [pid] = await service.serverPids();
    await service.start('Slow', 2);
    await service.start('Hung', 3);
    const stopBegan = performance.now();
    const [hung, stopped] = await jumping(
      Promise.all([
        after(async () => (await service.errorOf('Hung')) !== undefined),
        service.stop('HungUnload', 1).then((answer) => ({ answer, ms: performance.now() - stopBegan })),
      ]),
    );
    expect(hung).toBeGreaterThan(TIMEOUT_SECONDS * 1000 - 300);
    expect(hung).toBeLessThan(TIMEOUT_SECONDS * 1000 + 2500);
    expect((await service.errorOf('Hung'))?.code).toBe('BACKEND_TIMEOUT');
    expect(stopped.answer.status).toBe(500);
    expect(stopped.ms).toBeGreaterThan(TIMEOUT_SECONDS * 1000 - 300);
    expect(stopped.ms).toBeLessThan(TIMEOUT_SECONDS * 1000 + 2500);
    expect(await service.placements()).toEqual(expect.arrayContaining(['MAM@0:RUNNING', 'Slow@2:RUNNING']));
    expect(await service.serverPids()).toEqual([pid]);
  });

  it('a frozen server is restarted at its deadline, and not before it', async () => {
    await boot();
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    const [pid = 0] = await service.serverPids();
    process.kill(pid, 'SIGSTOP');
    const frozen = await jumping(
      after(async () => {
        const [now] = await service.serverPids();
        return now !== undefined && now !== pid;
      }),
    );
    expect(frozen).toBeGreaterThan(TIMEOUT_SECONDS * 1000 - 200);
    expect(frozen).toBeLessThan(TIMEOUT_SECONDS * 1000 + 5000);
    await jumping(service.untilRunning('MAM@0'));
  });

  it('a dead server is brought back with its delay, before and after a jump each way', async () => {
    await boot();
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    expect(Math.abs(await offset())).toBeLessThan(5000);
    for (const [jump, sign] of [1, -1].entries()) {
      process.kill(service.pid, 'SIGUSR2');
      const now = await offset();
      expect(Math.abs(now - sign * DAY_MS)).toBeLessThan(5000); // it did jump
      const [pid = 0] = await service.serverPids();
      process.kill(pid, 'SIGKILL');
      const back = await after(async () => {
        const [again] = await service.serverPids();
        return again !== undefined && again !== pid;
      });
      // At once the first time; then with twice the first delay.
      if (jump > 0) expect(back).toBeGreaterThan(500);
      expect(back).toBeLessThan(4000);
      await service.untilRunning('MAM@0');
    }
  });
});
