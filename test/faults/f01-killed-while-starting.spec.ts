import { afterEach, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestService } from '../support/service.js';

let service: TestService;

afterEach(() => service.dispose());

async function boot(): Promise<void> {
  service = await TestService.create({ models: { MAM: { load_seconds: 0.8 }, FastFitAll: {} } });
  await service.boot();
}

async function expectOneServerAndOneLoad(): Promise<void> {
  await service.untilRunning('MAM@3');
  expect(await service.serverPids()).toHaveLength(1);
  expect(await service.loadsOf('MAM')).toBe(1);
  expect((await service.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
}

describe('F1: kill -9 of the service while a model is STARTING', () => {
  // Before its server is launched, while that comes up, and about when the load begins.
  it.each([0, 60, 180])(
    '%d ms after the answer: it becomes RUNNING, with one server and one load',
    async (ms) => {
      await boot();
      expect((await service.start('MAM', 3)).status).toBe(202);
      await sleep(ms);
      await service.end('SIGKILL');
      await service.boot();
      await expectOneServerAndOneLoad();
    },
  );

  it('in the middle of the load: it becomes RUNNING, with the same server and that one load', async () => {
    await boot();
    await service.start('MAM', 3);
    await service.until(async () => (await service.tritonIndex()).some(({ state }) => state === 'LOADING'));
    const pids = await service.serverPids();
    await service.end('SIGKILL');
    await service.boot();
    await expectOneServerAndOneLoad();
    expect(await service.serverPids()).toEqual(pids);
  });
});
