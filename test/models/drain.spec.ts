import { jest } from '@jest/globals';
import { StopFailedError } from '../../src/launchers/launcher.js';
import { House } from '../fakes/house.js';
import { pass, settled, useFakeTime } from '../fakes/timers.js';

let house: House;

beforeEach(async () => {
  useFakeTime();
  house = await House.withMemory().boot();
  await house.running('A', 0);
});
afterEach(() => {
  expect(house.defects()).toEqual([]);
  expect(house.runner.overlapped).toBe(false);
  jest.useRealTimers();
});

const AT_WORK = { open: 3, finished: 7 };

/** A stop, and how it ended so far: `undefined` while it is under way. */
function stop(asked: { drainSeconds?: number; force?: boolean } = {}, gpuId = 0, model = 'A') {
  const stopping = { answer: undefined as string | undefined };
  house.supervisor.stop(model, gpuId, asked).then(
    ({ placement }) => (stopping.answer = placement?.status),
    (error: unknown) => (stopping.answer = (error as { code: string }).code),
  );
  return stopping;
}

describe('a drain', () => {
  it('lets the model serve on while requests wait, and stops it when they are done', async () => {
    house.runner.work = AT_WORK;
    const stopping = stop({ drainSeconds: 30 });
    await pass(20_000);
    expect(stopping.answer).toBeUndefined();
    expect(house.runner.calls).toEqual([]);
    expect(house.placement('A', 0)).toEqual({
      status: 'RUNNING',
      progress: 'waiting until requests are worked off: 3 counted',
    });
    expect(house.store.wanted()).toEqual({ A: ['0 release'] });
    house.runner.work = { open: 0, finished: 10 };
    await pass(1500);
    expect(house.runner.calls).toEqual(['stop A [0]']);
    expect(stopping.answer).toBe('STOPPED');
    expect(house.status()).toEqual([]);
  });

  it('waits while requests are being finished, also where none waits', async () => {
    const done = { open: 0, finished: 0 };
    house.runner.work = done;
    stop({ drainSeconds: 30 });
    for (let second = 0; second < 20; second += 1) {
      await pass(500);
      house.runner.work = { open: 0, finished: second + 1 };
    }
    expect(house.runner.calls).toEqual([]);
    await pass(2000);
    expect(house.runner.calls).toEqual(['stop A [0]']);
  });

  it('ends at its deadline, and the runner has no patience left', async () => {
    house.runner.work = AT_WORK;
    const stopping = stop({ drainSeconds: 5 });
    await pass(4900);
    expect(house.runner.calls).toEqual([]);
    await pass(100);
    expect(house.runner.calls).toEqual(['stop A [0]']);
    expect(house.runner.patience).toEqual([0]);
    expect(stopping.answer).toBe('STOPPED');
  });

  it('leaves the runner what is left of it', async () => {
    house.runner.work = { open: 0, finished: 1 };
    stop({ drainSeconds: 60 });
    await pass(2000);
    expect(house.runner.patience).toEqual([expect.any(Number)]);
    expect(house.runner.patience[0]).toBeGreaterThan(57_000);
    expect(house.runner.patience[0]).toBeLessThan(60_000);
  });

  it('has its answer wait as long as it may take, and the stop after it', async () => {
    house.runner.work = AT_WORK;
    house.runner.hold('stop');
    const stopping = stop({ drainSeconds: 300 });
    await pass(300_000);
    await house.runner.nextCall('stop');
    await pass(house.runner.stopTimeoutMs - 100);
    expect(stopping.answer).toBeUndefined();
    await pass(200);
    expect(stopping.answer).toBe('STOP_TIMEOUT');
  });

  it.each([
    ['0 in the request', () => stop({ drainSeconds: 0 })],
    ['nothing in request and configuration', () => stop()],
  ])('does not take place with %s', async (_, begin) => {
    house.runner.work = AT_WORK;
    begin();
    await settled();
    expect(house.runner.calls).toEqual(['stop A [0]']);
    expect(house.runner.workloadCalls).toBe(0);
  });

  it('takes its time from the configuration where the request says nothing', async () => {
    house.runner.drain = 10;
    house.runner.work = AT_WORK;
    stop();
    await pass(9900);
    expect(house.runner.calls).toEqual([]);
    await pass(100);
    expect(house.runner.calls).toEqual(['stop A [0]']);
  });

  it('does not take place for what does not serve', async () => {
    house.runner.hold('start');
    await house.supervisor.start('A', 1, {});
    await house.runner.nextCall('start');
    house.runner.letGo('start');
    house.runner.work = AT_WORK;
    stop({ drainSeconds: 30 }, 1);
    await settled();
    expect(house.runner.calls).toContain('stop A [1] keep [0]');
  });
});

describe('a backend that does not say what it works on', () => {
  it('is stopped at once where it cannot tell', async () => {
    house.runner.work = null;
    stop({ drainSeconds: 30 });
    await settled();
    expect(house.runner.calls).toEqual(['stop A [0]']);
  });

  it('is asked three times where it fails', async () => {
    house.runner.work = new Error('connection refused');
    stop({ drainSeconds: 30 });
    await pass(400);
    expect(house.runner.calls).toEqual([]);
    await pass(200);
    expect(house.runner.calls).toEqual(['stop A [0]']);
    expect(house.runner.workloadCalls).toBe(3);
  });

  it('is drained on where it answers again', async () => {
    house.runner.work = new Error('too busy');
    stop({ drainSeconds: 30 });
    await pass(300);
    house.runner.work = AT_WORK;
    await pass(20_000);
    expect(house.runner.calls).toEqual([]);
  });

  it('does not hold up a stop longer than its deadlines', async () => {
    house.runner.work = 'hangs';
    stop({ drainSeconds: 600 });
    await pass(3 * house.config.health.probe_timeout_ms + 1000);
    expect(house.runner.calls).toEqual(['stop A [0]']);
  });

  it('does not hold up a stop longer than its drain', async () => {
    house.runner.work = 'hangs';
    stop({ drainSeconds: 1 });
    await pass(1001);
    expect(house.runner.calls).toEqual(['stop A [0]']);
  });
});

describe('a drain and other commands', () => {
  beforeEach(() => {
    house.runner.work = AT_WORK;
  });

  it('counts in what is wanted of the backend when another model is stopped', async () => {
    await house.running('B', 1);
    house.runner.work = AT_WORK;
    stop({ drainSeconds: 30 });
    await settled();
    house.runner.hold('stop');
    stop({}, 1, 'B');
    const call = await house.runner.nextCall('stop');
    expect(call.context.wanted()).toEqual([expect.objectContaining({ modelName: 'A', gpuIds: [0] })]);
    call.succeed();
    await pass(30_000);
    const own = await house.runner.nextCall('stop');
    expect(own.context.wanted()).toEqual([]);
    own.succeed();
    await settled();
  });

  it('is shortened by a further stop, and not lengthened', async () => {
    const first = stop({ drainSeconds: 20 });
    await pass(1000);
    stop({ drainSeconds: 600 });
    stop();
    await pass(1000);
    const last = stop({ drainSeconds: 5 });
    await pass(4900);
    expect(house.runner.calls).toEqual([]);
    await pass(100);
    expect(house.runner.calls).toEqual(['stop A [0]']);
    expect([first.answer, last.answer]).toEqual(['STOPPED', 'STOPPED']);
  });

  it('is ended by a further stop with 0', async () => {
    stop({ drainSeconds: 600 });
    await pass(1000);
    stop({ drainSeconds: 0 });
    await settled();
    expect(house.runner.calls).toEqual(['stop A [0]']);
  });

  it('does not hold up a start on the same GPU beyond its end', async () => {
    const stopping = stop({ drainSeconds: 10 });
    await pass(1000);
    await house.supervisor.start('A', 0, {});
    await pass(5000);
    expect(house.runner.calls).toEqual([]);
    expect(house.status()).toEqual(['A 0 STARTING']);
    await pass(4000);
    expect(house.runner.calls).toEqual(['stop A [0]', 'start A [0]']);
    expect(stopping.answer).toBe('STOPPED');
    expect(house.status()).toEqual(['A 0 RUNNING']);
  });

  it('does not hold up a start or a stop of the model on another GPU', async () => {
    stop({ drainSeconds: 600 });
    await settled();
    await house.supervisor.start('A', 1, {});
    await settled();
    expect(house.runner.calls).toEqual(['start A [0,1]']);
    stop({ drainSeconds: 0 }, 1);
    await settled();
    expect(house.runner.calls).toEqual(['start A [0,1]', 'stop A [1] keep [0]']);
    expect(house.runner.servedOn('A')).toEqual([0]);
  });

  it('has a deadline for each GPU', async () => {
    await house.running('A', 1);
    stop({ drainSeconds: 10 }, 0);
    stop({ drainSeconds: 20 }, 1);
    await pass(10_000);
    expect(house.runner.calls).toEqual(['stop A [0] keep [1]']);
    await pass(10_000);
    expect(house.runner.calls).toEqual(['stop A [0] keep [1]', 'stop A [1]']);
  });

  it('does not bring back a placement that drains', async () => {
    stop({ drainSeconds: 30 });
    await pass(1000);
    house.runner.work = null;
    house.runner.crash('A');
    await pass(1000);
    expect(house.runner.calls).toEqual(['stop A [0]']);
  });

  it('ends with the service, and the next run completes the stop without it', async () => {
    const stopping = stop({ drainSeconds: 600 });
    await pass(1000);
    await house.supervisor.beforeApplicationShutdown();
    await settled();
    expect(stopping.answer).toBe('SHUTTING_DOWN');
    expect(house.runner.calls).toEqual([]);
    const looks = house.runner.workloadCalls;
    await pass(10_000);
    expect(house.runner.workloadCalls).toBe(looks);
    const next = await House.withMemory({ state: [...house.store.saved.values()] }).boot();
    expect(next.runner.calls).toEqual(['stop A [0]']);
  });
});

describe('a stop by force', () => {
  it('does not ask', async () => {
    house.runner.drain = 600;
    house.runner.work = AT_WORK;
    const stopping = stop({ force: true });
    await settled();
    expect(house.runner.calls).toEqual(['force A [0]']);
    expect(house.runner.workloadCalls).toBe(0);
    expect(stopping.answer).toBe('STOPPED');
    expect(house.store.wanted()).toEqual({});
  });

  it('interrupts a drain', async () => {
    house.runner.work = AT_WORK;
    const first = stop({ drainSeconds: 600 });
    await pass(1000);
    const second = stop({ force: true });
    await settled();
    expect(house.runner.calls).toEqual(['force A [0]']);
    expect([first.answer, second.answer]).toEqual(['STOPPED', 'STOPPED']);
    await pass(10_000);
    expect(house.runner.calls).toEqual(['force A [0]']);
  });

  it('interrupts a stop that is under way', async () => {
    house.runner.hold('stop');
    const first = stop();
    const call = await house.runner.nextCall('stop');
    stop({ force: true });
    await settled();
    expect(call.context.signal.aborted).toBe(true);
    expect(house.runner.calls).toEqual(['stop A [0]', 'force A [0]']);
    expect(first.answer).toBe('STOPPED');
  });

  it('does not interrupt another one', async () => {
    house.runner.hold('force');
    stop({ force: true });
    const call = await house.runner.nextCall('force');
    stop({ force: true });
    await settled();
    expect(call.context.signal.aborted).toBe(false);
    call.succeed();
    await settled();
    expect(house.runner.calls).toEqual(['force A [0]']);
  });

  it('interrupts a start', async () => {
    house.runner.hold('start');
    await house.supervisor.start('B', 1, {});
    await house.runner.nextCall('start');
    stop({ force: true }, 1, 'B');
    await settled();
    expect(house.runner.calls).toEqual(['start B [1]', 'force B [1]']);
  });

  it('is tried once: what follows a failure asks', async () => {
    house.runner.failNext('force', new StopFailedError('it is still there'));
    const stopping = stop({ force: true });
    await settled();
    expect(stopping.answer).toBe('STOP_FAILED');
    expect(house.placement('A', 0)?.status).toBe('ERROR');
    await pass(house.config.restart.initial_delay_ms);
    expect(house.runner.calls).toEqual(['force A [0]', 'stop A [0]']);
    expect(house.status()).toEqual([]);
  });

  it('does not end a server anew while its memory is looked after', async () => {
    house.gpus.processes.set(0, [{ pid: house.runner.pidOn(0), name: 'tritonserver', memoryMiB: 8192 }]);
    const stopping = stop({ force: true });
    await pass(10_000);
    expect(stopping.answer).toBe('GPU_MEMORY_HELD');
    stop({ force: true });
    await pass(15_000);
    expect(new Set(house.runner.calls.slice(1))).toEqual(new Set(['stop A [0]']));
    house.gpus.processes.delete(0);
    await pass(20_000);
    expect(house.status()).toEqual([]);
  });

  it('brings back what the server served besides', async () => {
    await house.running('A', 1);
    await house.running('B', 2);
    const letGo = house.runner.stopByForce.bind(house.runner);
    jest.spyOn(house.runner, 'stopByForce').mockImplementation(async (...call) => {
      await letGo(...call);
      house.runner.crash('A', 'B');
    });
    stop({ force: true });
    await pass(100);
    expect(house.runner.calls[0]).toBe('force A [0] keep [1]');
    expect(house.runner.calls.slice(1).sort()).toEqual(['start A [1]', 'start B [2]']);
    expect(house.history('A')).toContain('1 RUNNING→STARTING');
    expect(house.status().sort()).toEqual(['A 1 RUNNING', 'B 2 RUNNING']);
  });
});
