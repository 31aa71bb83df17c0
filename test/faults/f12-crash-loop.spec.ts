import { afterEach, describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestService } from '../support/service.js';

const RESTART = { initial_delay_ms: 150, max_delay_ms: 5000, max_attempts: 3 };
let service: TestService;

afterEach(() => service.dispose());

/** When the server was launched, ms, by what it wrote itself. */
async function launches(): Promise<number[]> {
  const log = await readFile(join(service.stateDir, 'logs/triton_server.log'), 'utf8').catch(() => '');
  return [...log.matchAll(/^launched at (\d+)$/gm)].map(([, at]) => Number(at));
}

/** As many launches as allowed, each later than twice the delay before the last, and no further one. */
async function expectBoundedTries(): Promise<void> {
  const times = await launches();
  expect(times).toHaveLength(RESTART.max_attempts + 1);
  const gaps = times.slice(1).map((at, index) => at - (times[index] ?? 0));
  gaps.forEach((gap, index) => {
    expect(gap).toBeGreaterThanOrEqual(RESTART.initial_delay_ms * 2 ** index - 20);
  });
  await sleep(1500);
  expect(await launches()).toHaveLength(times.length);
}

describe('F12: a server ends at once, every time', () => {
  it('is tried a bounded number of times, ever more rarely, then ERROR with its exit code and last lines', async () => {
    const program = `
      console.log('launched at ' + Date.now());
      console.log('no kernel image is available for execution on the device');
      process.exitCode = 3;`;
    service = await TestService.create({
      triton: { command: [process.execPath, '-e', program, '--'] },
      config: { restart: RESTART },
    });
    await service.boot();
    expect((await service.start('MAM', 0)).status).toBe(202);
    const error = await service.untilError('MAM', 15_000);
    expect(error).toMatchObject({ code: 'SERVER_LOST', message: expect.stringContaining('exit code 3') });
    expect(error.log).toContain('no kernel image is available for execution on the device');
    expect(await service.placements()).toEqual([]);
    await expectBoundedTries();
    // A start by hand begins anew.
    expect((await service.start('MAM', 0)).body).toMatchObject({ status: 'STARTING' });
    await service.until(async () => (await launches()).length > RESTART.max_attempts + 1);
  });

  it('because of what a model does to it: that one is ERROR; the other serves again, at the latest when it is started', async () => {
    service = await TestService.create({
      models: { MAM: { load_seconds: 0.1 }, Killer: { load_seconds: 0.1, crash_on_load: 9 } },
      config: { restart: { initial_delay_ms: 50, max_attempts: 2 } },
    });
    await service.boot();
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    await service.start('Killer', 1);
    expect(await service.untilError('Killer', 15_000)).toMatchObject({
      code: 'SERVER_LOST',
      message: expect.stringContaining('exit code 9'),
    });
    // Who shares the server may have run out of tries with it.
    expect((await service.start('MAM', 0)).status).toBe(202);
    await service.untilRunning('MAM@0');
    expect(await service.errorOf('Killer')).toMatchObject({ code: 'SERVER_LOST' });
    expect((await service.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
  });
});
