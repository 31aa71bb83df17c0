import { afterEach, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestService } from '../support/service.js';

let service: TestService;

afterEach(() => service.dispose());

describe('F2: kill -9 of the service while models are RUNNING', () => {
  it('they serve all along, untouched; status is right within 2 s after the boot, with the same pids', async () => {
    service = await TestService.create();
    await service.boot();
    await service.start('MAM', 0);
    await service.start('MAM', 2);
    await service.start('FastFitAll', 1);
    await service.untilRunning('FastFitAll@1', 'MAM@0', 'MAM@2');
    const pids = await service.serverPids();
    const loads = await service.loadsOf('MAM');

    const answers: number[] = [];
    const done = new AbortController();
    const client = (async () => {
      while (!done.signal.aborted) {
        answers.push((await service.infer('MAM', [1, 2, 3, 4])).status);
        await sleep(5);
      }
    })();
    await service.end('SIGKILL');
    const before = answers.length;
    await service.boot();
    const booted = performance.now();
    await service.untilRunning('FastFitAll@1', 'MAM@0', 'MAM@2');
    expect(performance.now() - booted).toBeLessThan(2000);
    done.abort();
    await client;

    expect(new Set(answers)).toEqual(new Set([200]));
    expect(answers.length).toBeGreaterThan(before + 5);
    expect(await service.serverPids()).toEqual(pids);
    expect(await service.loadsOf('MAM')).toBe(loads);
    for (const [model, gpu] of [
      ['MAM', 0],
      ['MAM', 2],
      ['FastFitAll', 1],
    ] as const) {
      expect((await service.stop(model, gpu)).status).toBe(200);
    }
    expect(await service.serverPids()).toEqual([]);
  });
});
