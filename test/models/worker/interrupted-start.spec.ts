import { jest } from '@jest/globals';
import { StopFailedError } from '../../../src/launchers/launcher.js';
import { ModelLoadError, ServerLostError } from '../../../src/runners/errors.js';
import { FakeRunner } from '../../fakes/fake-runner.js';
import { House } from '../../fakes/house.js';
import { pass, settled, useFakeTime } from '../../fakes/timers.js';

/** Longest delay, ms, that a timer takes: 24.8 days. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

let runner: FakeRunner;
let house: House;

beforeEach(useFakeTime);
afterEach(() => {
  expect(house.defects()).toEqual([]);
  expect(runner.measuredTogether).toBe(false);
  jest.useRealTimers();
});

const starts = (): string[] => runner.calls.filter((call) => call.startsWith('start'));

describe('the slot of a start, where servers measure free memory', () => {
  beforeEach(async () => {
    runner = new FakeRunner(['A', 'B']);
    runner.measures = true;
    house = await House.withMemory({ runner }).boot();
    runner.hold('start');
    await house.supervisor.start('A', 0, {});
    await house.supervisor.start('B', 0, {});
    await settled();
    expect(starts()).toEqual(['start A [0]']);
  });

  it('is kept by a start that was interrupted until the end of its server was tried', async () => {
    runner.hold('stop');
    const stopped = house.supervisor.stop('A', 0);
    const call = await runner.nextCall('stop');
    await pass(10_000);
    await house.probe();
    expect(starts()).toEqual(['start A [0]']);
    call.succeed();
    await settled();
    expect(starts()).toEqual(['start A [0]', 'start B [0]']);
    expect((await stopped).placement?.status).toBe('STOPPED');
  });

  it('is given back when that end was tried in vain: others do not wait for ever', async () => {
    runner.hold('stop');
    const stopped = expect(house.supervisor.stop('A', 0)).rejects.toMatchObject({ code: 'STOP_FAILED' });
    (await runner.nextCall('stop')).fail(new StopFailedError('it does not end'));
    await settled();
    await stopped;
    expect(starts()).toEqual(['start A [0]', 'start B [0]']);
  });

  it('is kept by a start that has failed for good until what it has left was ended', async () => {
    runner.hold('stop');
    (await runner.nextCall('start')).fail(new ModelLoadError('out of memory'));
    const call = await runner.nextCall('stop');
    await pass(5000);
    expect(house.placement('A', 0)?.status).toBe('ERROR');
    expect(starts()).toEqual(['start A [0]']);
    call.succeed();
    await settled();
    expect(starts()).toEqual(['start A [0]', 'start B [0]']);
  });

  it('is given back by the next look after a start that has failed and is tried later', async () => {
    (await runner.nextCall('start')).fail(new ServerLostError('it ended'));
    await settled();
    expect(starts()).toEqual(['start A [0]', 'start B [0]']);
    expect(house.placement('A', 0)).toEqual({
      status: 'STARTING',
      progress: 'trying again after: it ended',
    });
  });

  it('is kept after a start that has failed while the backend says that its server still comes up', async () => {
    runner.phases.set(0, 'starting');
    (await runner.nextCall('start')).fail(new ServerLostError('it did not answer'));
    await settled();
    await house.probe();
    expect(starts()).toEqual(['start A [0]']);
    runner.phases.set(0, 'absent');
    await house.probe();
    expect(starts()).toContain('start B [0]');
  });

  it('is kept by a start that was interrupted by the end of its server over the API until that was tried', async () => {
    runner.hold('force');
    const ended = house.supervisor.endServer('server-A-0', 'a test');
    const call = await runner.nextCall('force');
    await pass(5000);
    expect(starts()).toEqual(['start A [0]']);
    call.succeed();
    await settled();
    expect(await ended).toEqual(['A@0']);
    expect(starts()).toEqual(['start A [0]', 'start B [0]']);
  });

  it('is given back when the service ends, however its start ends', async () => {
    await house.supervisor.beforeApplicationShutdown();
    expect(starts()).toEqual(['start A [0]']);
    expect(house.store.wanted()).toEqual({ A: ['0 serve'], B: ['0 serve'] });
  });
});

describe('a start that fails in the turn in which it is interrupted', () => {
  beforeEach(async () => {
    runner = new FakeRunner(['A']); // one server for all GPUs of a model
    house = await House.withMemory({ runner }).boot();
    await house.running('A', 0);
    runner.hold('start');
    runner.ignoresSignals = true; // it is the test that ends the call
    await house.supervisor.start('A', 1, {});
    await settled();
  });

  it.each(['before', 'after'])(
    'for good, %s the interruption, is in ERROR and not tried again',
    async (when) => {
      runner.ignoresSignals = true;
      const call = await runner.nextCall('start');
      if (when === 'before') call.fail(new ModelLoadError('no such layer'));
      const stopped = house.supervisor.stop('A', 0);
      await settled();
      if (when === 'after') call.fail(new ModelLoadError('no such layer'));
      await settled();
      expect((await stopped).placement?.status).toBe('STOPPED');
      expect(house.placement('A', 1)).toEqual({
        status: 'ERROR',
        error: 'MODEL_LOAD_FAILED: no such layer',
      });
      await pass(10_000);
      expect(starts()).toEqual(['start A [0,1]']);
    },
  );

  it.each([
    ['by the interruption', new Error('aborted')],
    ['of its server', new ServerLostError('it ended')],
  ])('%s is begun anew at once, and not charged', async (_cause, error) => {
    const call = await runner.nextCall('start');
    const stopped = house.supervisor.stop('A', 0);
    await settled();
    call.fail(error);
    await settled();
    expect((await stopped).placement?.status).toBe('STOPPED');
    expect(starts()).toEqual(['start A [0,1]', 'start A [1]']);
    runner.letGo('start');
    await settled();
    expect(house.status()).toEqual(['A 1 RUNNING']);
  });

  it('that succeeds after the interruption has begun, is no failure', async () => {
    const call = await runner.nextCall('start');
    const stopped = house.supervisor.stop('A', 0);
    await settled();
    call.succeed();
    await settled();
    expect((await stopped).placement?.status).toBe('STOPPED');
    expect(house.status()).toEqual(['A 1 RUNNING']);
    expect(starts()).toEqual(['start A [0,1]']);
  });
});

describe('the wait for the turn of a start', () => {
  it('sets no timer, and leaves none', async () => {
    runner = new FakeRunner(['A', 'B']);
    runner.measures = true;
    house = await House.withMemory({ runner }).boot();
    runner.hold('start');
    const timers = jest.spyOn(globalThis, 'setTimeout');
    await house.supervisor.start('A', 0, {});
    await settled();
    const before = jest.getTimerCount();
    await house.supervisor.start('B', 0, {});
    await settled();
    expect(house.placement('B', 0)?.progress).toBe('waiting: A is starting on GPU 0');
    expect(jest.getTimerCount()).toBe(before);
    await house.supervisor.stop('B', 0);
    await settled();
    expect(jest.getTimerCount()).toBe(before);
    (await runner.nextCall('start')).succeed();
    await settled();
    expect(house.status()).toEqual(['A 0 RUNNING']);
    expect(jest.getTimerCount()).toBe(0);
    const delays = timers.mock.calls.map(([, ms]) => ms ?? 0);
    expect(delays.length).toBeGreaterThan(0);
    expect(Math.max(...delays)).toBeLessThan(LONGEST_TIMER_MS);
  });
});
