import { jest } from '@jest/globals';
import { ServerLostError } from '../../../src/runners/errors.js';
import { House } from '../../fakes/house.js';
import { pass, settled, useFakeTime } from '../../fakes/timers.js';

beforeEach(useFakeTime);
afterEach(() => {
  jest.useRealTimers();
});

it('a server that dies after it was seen ready, before its start has ended, has died once', async () => {
  const house = await House.withMemory({ restart: { max_attempts: 1 } }).boot();
  house.runner.hold('start');
  await house.supervisor.start('A', 0, {});
  const call = await house.runner.nextCall('start');
  house.runner.phase = 'ready';
  await house.probe();
  expect(house.status()).toEqual(['A 0 RUNNING']);
  house.runner.phase = undefined;
  call.fail(new ServerLostError('it died'));
  await settled();
  expect(house.status()).toEqual(['A 0 STARTING']);
  house.runner.letGo('start');
  await pass(5000);
  expect(house.status()).toEqual(['A 0 RUNNING']);
  expect(house.defects()).toEqual([]);
});

it('a server that freezes after it was seen ready, before its start has ended, is ended at its deadline', async () => {
  const house = await House.withMemory().boot();
  const limitMs = house.config.liveness.deadline_seconds * 1000;
  house.runner.hold('start');
  await house.supervisor.start('A', 0, {});
  await house.runner.nextCall('start');
  house.runner.phase = 'ready';
  await house.probe();
  expect(house.status()).toEqual(['A 0 RUNNING']);
  house.runner.phase = 'silent';
  await house.probe();
  await pass(limitMs - 1);
  await house.probe();
  expect(house.runner.calls).not.toContain('recycle A');
  await pass(1);
  await house.probe();
  await settled();
  expect(house.runner.calls).toEqual(['start A [0]', 'recycle A']);
  expect(house.defects()).toEqual([]);
});
