import { jest } from '@jest/globals';
import { BackendTimeoutError, ModelLoadError, ServerLostError } from '../../src/runners/errors.js';
import { StopFailedError } from '../../src/launchers/launcher.js';
import { pass, settled } from '../fakes/timers.js';
import { house, outcome, start, stop, useHouse } from './house-rig.js';

useHouse();

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

  it.each([undefined, true])(
    'is done although the disk is full, and written when it can be: force %s',
    async (force) => {
      await house.running('A', 0);
      house.store.isFull = true;
      const stopped = await house.supervisor.stop('A', 0, { force });
      expect(stopped.unsaved).toContain('the disk is full');
      expect(house.status()).toEqual([]);
      expect(house.runner.servedOn('A')).toEqual([]);
      expect(house.store.wanted()).toEqual({ A: ['0 serve'] });
      house.store.isFull = false;
      await pass(2000);
      expect(house.store.wanted()).toEqual({});
      expect(house.supervisor.unsaved).toBeUndefined();
    },
  );

  it('is not undone by a start that the full disk refuses', async () => {
    await house.running('A', 0);
    house.store.isFull = true;
    await house.supervisor.stop('A', 0);
    await expect(house.supervisor.start('A', 0, {})).rejects.toMatchObject({ code: 'STATE_WRITE_FAILED' });
    expect(house.status()).toEqual([]);
    house.store.isFull = false;
    await pass(2000);
    expect(house.store.wanted()).toEqual({});
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
