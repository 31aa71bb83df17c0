import { jest } from '@jest/globals';
import { BackendTimeoutError, ModelLoadError, ServerLostError } from '../../src/runners/errors.js';
import { EngineUnavailableError, StopFailedError } from '../../src/launchers/launcher.js';
import { House } from '../fakes/house.js';
import { pass, settled, useFakeTime } from '../fakes/timers.js';

let house: House;

beforeEach(async () => {
  useFakeTime();
  house = await House.withMemory().boot();
});

afterEach(() => {
  expect(house.defects()).toEqual([]);
  expect(house.runner.overlapped).toBe(false);
  jest.useRealTimers();
});

const start = (gpuId: number, model = 'A') => house.supervisor.start(model, gpuId, {});
const stop = (gpuId: number, model = 'A') => house.supervisor.stop(model, gpuId);
/** The outcome of something that may fail later. */
const outcome = (promise: Promise<unknown>) =>
  promise.then(
    () => 'done',
    (error: unknown) => String(error),
  );

describe('a start', () => {
  it('is STARTING when it is accepted, and RUNNING when the backend says so', async () => {
    house.runner.hold('start');
    await start(0);
    const call = await house.runner.nextCall('start');
    expect(house.status()).toEqual(['A 0 STARTING']);
    expect(house.store.wanted()).toEqual({ A: ['0 serve'] });
    call.succeed();
    await settled();
    expect(house.status()).toEqual(['A 0 RUNNING']);
    expect(house.history()).toEqual(['0 STOPPED→STARTING', '0 STARTING→RUNNING']);
  });

  it('is RUNNING as soon as a probe finds it ready, though the call is still under way', async () => {
    house.runner.hold('start');
    await start(0);
    const call = await house.runner.nextCall('start');
    house.runner.phase = 'ready';
    await house.probe();
    expect(house.status()).toEqual(['A 0 RUNNING']);
    house.runner.phase = undefined;
    call.succeed();
    await settled();
    expect(house.status()).toEqual(['A 0 RUNNING']);
  });

  it('of a further GPU starts the whole deployment, and touches nothing that runs', async () => {
    await house.running('A', 0);
    await start(2);
    await settled();
    expect(house.runner.calls).toEqual(['start A [0,2]']);
    expect(house.history()).toEqual(['2 STOPPED→STARTING', '2 STARTING→RUNNING']);
  });

  it('accepted while another is under way is carried out after it, and not blamed for it', async () => {
    house.runner.hold('start');
    await start(0);
    const first = await house.runner.nextCall('start');
    await start(1);
    first.fail(new ModelLoadError('no room on GPU 0'));
    await settled();
    expect(house.status()).toEqual(['A 0 ERROR', 'A 1 STARTING']);
    (await house.runner.nextCall('start')).succeed();
    await settled();
    expect(house.runner.calls).toEqual(['start A [0]', 'stop A [0] keep [1]', 'start A [1]']);
    expect(house.status()).toEqual(['A 0 ERROR', 'A 1 RUNNING']);
  });

  it('seen ready before its call has ended does not count against a GPU that came later', async () => {
    house.runner.hold('start');
    await start(0);
    const first = await house.runner.nextCall('start');
    house.runner.phase = 'ready';
    await house.probe();
    house.runner.phase = undefined;
    await start(1);
    first.succeed();
    (await house.runner.nextCall('start')).succeed();
    await settled();
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
  });

  it('that fails for good is an ERROR in the backend’s words, on disk too, and cleaned up', async () => {
    house.runner.failNext(
      'start',
      new ModelLoadError('Triton could not load A: no model.py', { log: ['last'] }),
    );
    await start(0);
    await settled();
    expect(house.placement('A', 0)).toEqual({
      status: 'ERROR',
      error: 'MODEL_LOAD_FAILED: Triton could not load A: no model.py',
    });
    expect(house.store.saved.get('A')?.placements).toEqual([
      {
        gpu_id: 0,
        wanted: 'failed',
        error: { code: 'MODEL_LOAD_FAILED', message: 'Triton could not load A: no model.py', log: ['last'] },
      },
    ]);
    expect(house.runner.calls).toEqual(['start A [0]', 'stop A [0]']);
    await house.probe();
    expect(house.runner.calls).toHaveLength(2);
  });

  it('that failed can be tried again', async () => {
    house.runner.failNext('start', new ModelLoadError('broken'));
    await start(0);
    await settled();
    await start(0);
    await settled();
    expect(house.history()).toEqual([
      '0 STOPPED→STARTING',
      '0 STARTING→ERROR',
      '0 ERROR→STARTING',
      '0 STARTING→RUNNING',
    ]);
    expect(house.store.wanted()).toEqual({ A: ['0 serve'] });
  });

  it('that lost its server is tried again, with growing delay, and then given up', async () => {
    house.runner.failNext('start', ...Array.from({ length: 9 }, () => new ServerLostError('it died')));
    await start(0);
    await settled();
    expect(house.placement('A', 0)).toEqual({ status: 'STARTING', progress: 'trying again after: it died' });
    const tries: number[] = [];
    for (let second = 1; second <= 10; second += 1) {
      const before = house.runner.calls.length;
      await pass(1000);
      if (house.runner.calls.length > before) tries.push(second);
    }
    expect(tries).toEqual([1, 3, 7]);
    expect(house.placement('A', 0)).toEqual({ status: 'ERROR', error: 'SERVER_LOST: it died' });
  });

  it('that waits for what is away for now is tried for as long as it takes', async () => {
    house.runner.failNext('start', ...Array.from({ length: 400 }, () => new EngineUnavailableError('away')));
    await start(0);
    await pass(399_500);
    expect(house.status()).toEqual(['A 0 STARTING']);
    expect(house.runner.calls).toHaveLength(400);
    await pass(1000);
    expect(house.status()).toEqual(['A 0 RUNNING']);
  });

  it('that comes through after a long wait gets all its time to become ready', async () => {
    house.runner.failNext('start', ...Array.from({ length: 150 }, () => new EngineUnavailableError('away')));
    house.runner.phase = 'absent';
    await start(0);
    await pass(149_500);
    house.runner.hold('start');
    await pass(1000);
    const call = await house.runner.nextCall('start');
    house.runner.phase = 'starting';
    call.succeed();
    await settled();
    expect(house.status()).toEqual(['A 0 STARTING']);
    await pass(house.runner.startTimeoutMs);
    await house.probe();
    expect(house.placement('A', 0)?.error).toBe('BACKEND_TIMEOUT: A was not ready within 100 s.');
  });

  it('of which the backend only says that it is done counts as lost', async () => {
    house.runner.phase = 'absent';
    await start(0);
    await settled();
    expect(house.runner.calls).toEqual(['start A [0]']);
    expect(house.placement('A', 0)?.progress).toMatch(
      /^trying again after: The backend said that it is done/,
    );
    house.runner.phase = undefined;
    house.runner.world.clear();
    await pass(1000);
    expect(house.status()).toEqual(['A 0 RUNNING']);
  });

  it('that does not end is given up at its deadline', async () => {
    house.runner.hold('start');
    await start(0);
    await pass(house.runner.startTimeoutMs);
    expect(house.placement('A', 0)?.error).toBe('BACKEND_TIMEOUT: A was not ready within 100 s.');
    expect(house.runner.calls).toEqual(['start A [0]', 'stop A [0]']);
  });

  it('that does not even heed its signal holds up nothing for ever', async () => {
    house.runner.ignoresSignals = true;
    house.runner.hold('start');
    await start(0);
    await settled();
    const stopped = outcome(stop(0));
    house.runner.overlapped = false;
    await pass(5000);
    expect(await stopped).toBe('done');
    house.runner.overlapped = false; // the price of going on
  });

  it('shows how far it is', async () => {
    house.runner.hold('start');
    await start(0);
    const call = await house.runner.nextCall('start');
    call.context.onProgress('pulling: 41 %');
    expect(house.placement('A', 0)?.progress).toBe('pulling: 41 %');
    call.succeed();
    await settled();
    expect(house.placement('A', 0)).toEqual({ status: 'RUNNING' });
  });
});

describe('a server that dies', () => {
  it('is brought back at once, with one start for all GPUs', async () => {
    await house.running('A', 0, 1);
    house.runner.hold('start');
    house.runner.crash('A');
    const call = await house.runner.nextCall('start');
    expect(house.status()).toEqual(['A 0 STARTING', 'A 1 STARTING']);
    call.succeed();
    await settled();
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
    expect(house.runner.calls).toEqual(['start A [0,1]']);
  });

  it('again and again is brought back with growing delay, and then given up', async () => {
    await house.running('A', 0);
    const delays: number[] = [];
    for (let death = 1; death <= 3; death += 1) {
      house.runner.crash('A');
      await settled();
      let waited = 0;
      while (house.status()[0] !== 'A 0 RUNNING' && waited < 10) {
        await pass(1000);
        waited += 1;
      }
      delays.push(waited);
    }
    expect(delays).toEqual([0, 2, 4]);
    house.runner.crash('A');
    await settled();
    expect(house.placement('A', 0)?.error).toMatch(/^SERVER_LOST: The server died 4 times in a row/);
    expect(house.store.wanted()).toEqual({ A: ['0 failed'] });
    expect(house.runner.calls).toEqual(['start A [0]', 'start A [0]', 'start A [0]', 'stop A [0]']);
  });

  it('after a stable time is brought back at once, however often it died before', async () => {
    await house.running('A', 0);
    for (let day = 0; day < 10; day += 1) {
      await pass(60_000);
      house.runner.crash('A');
      await settled();
      expect(house.status()).toEqual(['A 0 RUNNING']);
    }
  });

  it('and takes only its own models with it', async () => {
    await house.running('A', 0);
    await house.running('B', 0);
    house.runner.crash('A');
    await settled();
    expect(house.history('B')).toEqual([]);
  });

  it('is never brought back against max_attempts: 0', async () => {
    house = await House.withMemory({ restart: { max_attempts: 0 } }).boot();
    await house.running('A', 0);
    house.runner.crash('A');
    await settled();
    expect(house.placement('A', 0)?.status).toBe('ERROR');
    expect(house.runner.calls).toEqual(['stop A [0]']);
  });
});

describe('what the backend says', () => {
  it('nothing, for a while: nothing is concluded', async () => {
    await house.running('A', 0);
    house.runner.phase = 'silent';
    await house.probe();
    house.runner.statusError = new Error('broken');
    await house.probe();
    expect(house.status()).toEqual(['A 0 RUNNING']);
    expect(house.history()).toEqual([]);
    expect(house.runner.calls).toEqual([]);
  });

  it('that it starts the model anew: STARTING, with all the time a start has, and nothing is done to it', async () => {
    await house.running('A', 0);
    await pass(10 * house.runner.startTimeoutMs);
    house.runner.phase = 'starting';
    await house.probe();
    expect(house.status()).toEqual(['A 0 STARTING']);
    house.runner.phase = 'ready';
    await house.probe();
    expect(house.status()).toEqual(['A 0 RUNNING']);
    expect(house.runner.calls).toEqual([]);
  });

  it('late, after a command: it is about a world that is gone', async () => {
    await house.running('A', 0);
    const late = house.runner.getStatus.bind(house.runner);
    let answer: (() => void) | undefined;
    jest.spyOn(house.runner, 'getStatus').mockImplementationOnce(async (deployment) => {
      const seen = await late(deployment);
      await new Promise<void>((resolve) => (answer = resolve));
      return seen.map((observation) => ({ ...observation, phase: 'absent' as const }));
    });
    await house.probe();
    await start(1);
    answer?.();
    await settled();
    expect(house.history()).toEqual(['1 STOPPED→STARTING', '1 STARTING→RUNNING']);
  });

  it('never: the next command is carried out all the same', async () => {
    await house.running('A', 0);
    house.runner.statusHangs = true;
    await house.probe();
    const stopped = outcome(stop(0));
    await pass(house.config.health.probe_timeout_ms + 251);
    expect(await stopped).toBe('done');
  });

  it('never, while a start is under way: one probe hangs, not one per tick', async () => {
    house.runner.hold('start');
    await start(0);
    await settled();
    house.runner.statusHangs = true;
    const before = house.runner.statusCalls;
    for (let tick = 0; tick < 20; tick += 1) await house.probe();
    expect(house.runner.statusCalls - before).toBe(1);
    await pass(house.config.health.probe_timeout_ms + 251);
    await house.probe();
    expect(house.runner.statusCalls - before).toBe(2);
    house.runner.statusHangs = false;
  });

  it('of a GPU twice, or of one nobody asked about: once is enough', async () => {
    await house.running('A', 0);
    jest.spyOn(house.runner, 'getStatus').mockImplementationOnce(() =>
      Promise.resolve(
        [0, 0, 3].map((gpuId) => ({
          gpuId,
          phase: 'absent' as const,
          pid: null,
          port: null,
          serverName: null,
        })),
      ),
    );
    await house.probe();
    expect(house.history()).toEqual(['0 RUNNING→STARTING', '0 STARTING→RUNNING']);
  });
});

describe('a stop', () => {
  it('answers when the backend has let go, and not before', async () => {
    await house.running('A', 0);
    house.runner.hold('stop');
    const answered = jest.fn();
    const stopping = stop(0).then(answered);
    const call = await house.runner.nextCall('stop');
    expect(house.store.wanted()).toEqual({ A: ['0 release'] });
    expect(house.status()).toEqual(['A 0 RUNNING']);
    expect(answered).not.toHaveBeenCalled();
    call.succeed();
    await stopping;
    expect(house.status()).toEqual([]);
    expect(house.store.wanted()).toEqual({});
    expect(house.history()).toEqual(['0 RUNNING→STOPPED']);
  });

  it('of one GPU keeps the others', async () => {
    await house.running('A', 0, 1, 2);
    await stop(1);
    expect(house.runner.calls).toEqual(['stop A [1] keep [0,2]']);
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 2 RUNNING']);
    expect(house.store.wanted()).toEqual({ A: ['0 serve', '2 serve'] });
  });

  it('interrupts a start that is under way', async () => {
    house.runner.hold('start');
    await start(0);
    await house.runner.nextCall('start');
    await stop(0);
    expect(house.runner.calls).toEqual(['start A [0]', 'stop A [0]']);
    expect(house.status()).toEqual([]);
    expect(house.history()).toEqual(['0 STOPPED→STARTING', '0 STARTING→STOPPED']);
  });

  it('of one GPU interrupts the start of another, which then goes on', async () => {
    await house.running('A', 0);
    house.runner.hold('start');
    await start(1);
    await house.runner.nextCall('start');
    await stop(0);
    (await house.runner.nextCall('start')).succeed();
    await settled();
    expect(house.runner.calls).toEqual(['start A [0,1]', 'stop A [0] keep [1]', 'start A [1]']);
    expect(house.status()).toEqual(['A 1 RUNNING']);
  });

  it('ends a start that waits for its next try', async () => {
    house.runner.failNext('start', new ServerLostError('died'));
    await start(0);
    await settled();
    await stop(0);
    await pass(60_000);
    expect(house.runner.calls).toEqual(['start A [0]', 'stop A [0]']);
  });

  it('accepted before a failure is known makes that failure nobody’s business', async () => {
    house.runner.hold('start');
    await start(0);
    const call = await house.runner.nextCall('start');
    let goOn: (() => void) | undefined;
    jest
      .spyOn(house.runner, 'preflight')
      .mockImplementationOnce(() => new Promise((resolve) => (goOn = resolve)));
    const another = outcome(start(1));
    await settled();
    const stopped = outcome(stop(0));
    call.fail(new ModelLoadError('broken'));
    await settled();
    goOn?.();
    house.runner.letGo('start');
    expect(await Promise.all([another, stopped])).toEqual(['done', 'done']);
    await settled();
    expect(house.history().filter((line) => line.includes('ERROR'))).toEqual([]);
    expect(house.status()).toEqual(['A 1 RUNNING']);
  });

  it('clears an ERROR', async () => {
    house.runner.failNext('start', new ModelLoadError('broken'));
    await start(0);
    await settled();
    await stop(0);
    expect(house.status()).toEqual([]);
    expect(house.store.wanted()).toEqual({});
  });

  it('joins another stop of the same placement', async () => {
    await house.running('A', 0);
    house.runner.hold('stop');
    const first = outcome(stop(0));
    const call = await house.runner.nextCall('stop');
    const second = outcome(stop(0));
    await settled();
    call.succeed();
    expect(await Promise.all([first, second])).toEqual(['done', 'done']);
    expect(house.runner.calls).toEqual(['stop A [0]']);
  });

  it('accepted during another is carried out after it', async () => {
    await house.running('A', 0, 1);
    house.runner.hold('stop');
    const first = outcome(stop(0));
    const call = await house.runner.nextCall('stop');
    const second = outcome(stop(1));
    await settled();
    call.succeed();
    expect(await first).toBe('done');
    (await house.runner.nextCall('stop')).succeed();
    expect(await second).toBe('done');
    expect(house.runner.calls).toEqual(['stop A [0] keep [1]', 'stop A [1]']);
  });

  it('that fails says why, shows it, and goes on in the background', async () => {
    await house.running('A', 0);
    house.runner.failNext('stop', new StopFailedError('pid 7 is left'), new StopFailedError('pid 7 is left'));
    expect(await outcome(stop(0))).toBe('StopFailedError: pid 7 is left');
    expect(house.placement('A', 0)).toEqual({ status: 'ERROR', error: 'STOP_FAILED: pid 7 is left' });
    expect(house.store.wanted()).toEqual({ A: ['0 release'] });
    await pass(1000);
    expect(house.status()).toEqual(['A 0 ERROR']);
    await pass(2000);
    expect(house.status()).toEqual([]);
    expect(house.runner.calls).toHaveLength(3);
    expect(house.store.wanted()).toEqual({});
  });

  it('that failed is tried again at once when it is asked for again', async () => {
    await house.running('A', 0);
    house.runner.failNext('stop', new StopFailedError('stuck'));
    await outcome(stop(0));
    expect(await outcome(stop(0))).toBe('done');
  });

  it('is not held up by another one that fails', async () => {
    await house.running('A', 0, 1);
    house.runner.hold('stop');
    const first = outcome(stop(0));
    const call = await house.runner.nextCall('stop');
    const second = outcome(stop(1));
    await settled();
    call.fail(new StopFailedError('stuck'));
    (await house.runner.nextCall('stop')).succeed();
    expect(await Promise.all([first, second])).toEqual(['StopFailedError: stuck', 'done']);
    expect(house.runner.calls).toEqual(['stop A [0] keep [1]', 'stop A [0,1]']);
  });

  it('that takes too long is answered at its deadline, and goes on', async () => {
    await house.running('A', 0);
    house.runner.hold('stop');
    const stopped = outcome(stop(0));
    await pass(house.runner.stopTimeoutMs);
    expect(await stopped).toMatch(/^StopTimeoutError: A on GPU 0 was not stopped within 20 s/);
    await pass(1000);
    (await house.runner.nextCall('stop')).fail(new Error('gone')); // the call that timed out
    (await house.runner.nextCall('stop')).succeed();
    await settled();
    expect(house.status()).toEqual([]);
  });

  it('is answered even if the runner never comes back', async () => {
    await house.running('A', 0);
    house.runner.ignoresSignals = true;
    house.runner.hold('stop');
    const stopped = outcome(stop(0));
    await pass(house.runner.stopTimeoutMs + 5500);
    expect(await stopped).toMatch(/^StopTimeoutError/);
  });

  it('that the disk does not take changes nothing', async () => {
    await house.running('A', 0);
    house.store.isFull = true;
    expect(await outcome(stop(0))).toMatch(/^StateWriteError/);
    expect(house.status()).toEqual(['A 0 RUNNING']);
    expect(house.runner.calls).toEqual([]);
  });

  it('is done although its end cannot be written down', async () => {
    await house.running('A', 0);
    house.runner.hold('stop');
    const stopped = outcome(stop(0));
    const call = await house.runner.nextCall('stop');
    house.store.isFull = true;
    call.succeed();
    expect(await stopped).toBe('done');
    expect(house.store.wanted()).toEqual({ A: ['0 release'] }); // after a crash it is done once more
  });
});

describe('a start during a stop of the same placement', () => {
  beforeEach(async () => {
    await house.running('A', 0);
    house.runner.hold('stop');
  });

  it('begins when the stop is done', async () => {
    const stopped = outcome(stop(0));
    const call = await house.runner.nextCall('stop');
    await start(0);
    expect(house.status()).toEqual(['A 0 STARTING']);
    expect(house.store.wanted()).toEqual({ A: ['0 release', '0 serve'] });
    await house.probe();
    expect(house.status()).toEqual(['A 0 STARTING']); // what still serves is what is being stopped
    expect(call.context.wanted()).toEqual([]);
    call.succeed();
    expect(await stopped).toBe('done');
    await settled();
    expect(house.runner.calls).toEqual(['stop A [0]', 'start A [0]']);
    expect(house.status()).toEqual(['A 0 RUNNING']);
    expect(house.store.wanted()).toEqual({ A: ['0 serve'] });
  });

  it('fails with a stop that fails', async () => {
    const stopped = outcome(stop(0));
    const call = await house.runner.nextCall('stop');
    await start(0);
    call.fail(new StopFailedError('stuck'));
    await stopped;
    expect(house.placement('A', 0)).toEqual({ status: 'ERROR', error: 'STOP_FAILED: stuck' });
    expect(house.store.wanted()).toEqual({ A: ['0 failed', '0 release'] });
    house.runner.letGo('stop');
    await pass(1000);
    expect(house.store.wanted()).toEqual({ A: ['0 failed'] });
    await start(0);
    await settled();
    expect(house.status()).toEqual(['A 0 RUNNING']);
  });

  it('can be stopped again before it has begun', async () => {
    const first = outcome(stop(0));
    const call = await house.runner.nextCall('stop');
    await start(0);
    const second = outcome(stop(0));
    await settled();
    call.succeed();
    expect(await Promise.all([first, second])).toEqual(['done', 'done']);
    expect(house.runner.calls).toEqual(['stop A [0]']);
    expect(house.history()).toEqual(['0 STOPPED→STARTING', '0 STARTING→STOPPED', '0 RUNNING→STOPPED']);
    expect(house.store.wanted()).toEqual({});
  });
});

describe('a stop that never succeeds', () => {
  it('does not keep the model from another GPU', async () => {
    await house.running('A', 0);
    house.runner.failNext('stop', ...Array.from({ length: 50 }, () => new StopFailedError('stuck')));
    await outcome(stop(0));
    await start(1);
    await settled();
    expect(house.status()).toEqual(['A 0 ERROR', 'A 1 RUNNING']);
  });

  it('is tried ever more rarely', async () => {
    await house.running('A', 0);
    house.runner.failNext('stop', ...Array.from({ length: 50 }, () => new StopFailedError('stuck')));
    await outcome(stop(0));
    for (let second = 0; second < 60; second += 1) {
      await pass(1000);
      await house.probe();
    }
    // 1 + 2 + 4 + 5 + 5 … seconds
    expect(house.runner.calls).toHaveLength(14);
  });
});

describe('a clean-up after an ERROR', () => {
  it('that fails is tried again and leaves the cause of the ERROR as it was', async () => {
    house.runner.failNext('start', new BackendTimeoutError('too slow'));
    house.runner.failNext('stop', new StopFailedError('stuck'));
    await start(0);
    await settled();
    expect(house.placement('A', 0)?.error).toBe('BACKEND_TIMEOUT: too slow');
    await pass(1000);
    expect(house.runner.calls).toEqual(['start A [0]', 'stop A [0]', 'stop A [0]']);
    expect(house.placement('A', 0)?.error).toBe('BACKEND_TIMEOUT: too slow');
  });
});
