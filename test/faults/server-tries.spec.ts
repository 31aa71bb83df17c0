import { afterEach, describe, expect, it } from '@jest/globals';
import { ScriptedService } from '../support/scripted-service.js';
import { TestService } from '../support/service.js';

let house: { dispose(): Promise<void> };

afterEach(() => house.dispose());

/** As long as it takes to see whether a state lasts, ms. */
const CALM_MS = 1500;

describe('a model that crashes the Triton which it shares', () => {
  it.each([
    ['is soon loaded', 0.1],
    ['is still loading at every crash', 0.6],
  ])('is ERROR after its tries; the other, which %s, is brought back and stays', async (_, loadSeconds) => {
    const service = await TestService.create({
      models: {
        MAM: { load_seconds: loadSeconds },
        Killer: { load_seconds: 0.3, crash_on_load: 9 },
      },
      config: {
        restart: { initial_delay_ms: 50, max_attempts: 3 },
        health: { fast_interval_ms: 50, slow_interval_ms: 100, probe_timeout_ms: 500 },
      },
    });
    house = service;
    await service.boot();
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    expect((await service.start('Killer', 1)).status).toBe(202);
    await service.until(async () => {
      expect(await service.errorOf('MAM')).toBeUndefined();
      const hasFailed = (await service.errorOf('Killer')) !== undefined;
      // The status may be older than the last crash by a probe: the model itself answers only after it.
      const isBack = (await service.placements()).join() === 'MAM@0:RUNNING';
      const answers = await service.infer('MAM', [1, 2, 3, 4]).then(
        ({ status }) => status === 200,
        () => false,
      );
      return hasFailed && isBack && answers;
    }, 15_000);
    expect(await service.errorOf('Killer')).toMatchObject({
      code: 'SERVER_LOST',
      message: expect.stringContaining('exit code 9'),
    });
    const [pid] = await service.serverPids();
    const calm = performance.now() + CALM_MS;
    await service.until(async () => {
      expect(await service.placements()).toEqual(['MAM@0:RUNNING']);
      return performance.now() > calm;
    });
    expect(await service.serverPids()).toEqual([pid]);
    expect((await service.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
    expect(await service.errorOf('Killer')).toMatchObject({ code: 'SERVER_LOST' });
  });
});

describe('two servers of one model', () => {
  const MAX_ATTEMPTS = 3;

  it('have each their own tries, and their own words', async () => {
    const scripted = await ScriptedService.boot({
      scripted: { m: {} },
      config: { restart: { initial_delay_ms: 200, max_attempts: MAX_ATTEMPTS } },
    });
    house = scripted;
    await scripted.running('m', 1);
    await scripted.plays('m', 0, { exitCode: 3 });
    await scripted.service.start('m', 0);
    // The crash loop has one try left when the healthy server dies once.
    await scripted.launch('m', 0, MAX_ATTEMPTS);
    await scripted.signal('m', 1, 'SIGKILL');
    await scripted.launch('m', 1, 2);
    await scripted.untilStatus('m', { 0: 'ERROR', 1: 'RUNNING' });
    const calm = performance.now() + CALM_MS;
    await scripted.service.until(async () => {
      expect(await scripted.status('m')).toMatchObject([
        {
          gpu_id: 0,
          status: 'ERROR',
          error: {
            code: 'SERVER_LOST',
            message: expect.stringContaining('exit code 3'),
            log: expect.arrayContaining(['this GPU is told to end with 3']),
          },
        },
        { gpu_id: 1, status: 'RUNNING' },
      ]);
      return performance.now() > calm;
    });
    expect(await scripted.launches('m', 0)).toHaveLength(MAX_ATTEMPTS + 1);
    expect(await scripted.launches('m', 1)).toHaveLength(2);
    // What fails later fails in its own words.
    await scripted.plays('m', 1, { exitCode: 7 });
    await scripted.signal('m', 1, 'SIGKILL');
    await scripted.untilStatus('m', { 0: 'ERROR', 1: 'ERROR' }, 15_000);
    expect(await scripted.status('m')).toMatchObject([
      { error: { message: expect.stringContaining('exit code 3') } },
      { error: { message: expect.stringContaining('exit code 7') } },
    ]);
    expect(await scripted.launches('m', 0)).toHaveLength(MAX_ATTEMPTS + 1);
  });
});
