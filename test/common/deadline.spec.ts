import { getEventListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { jest } from '@jest/globals';
import { DeadlineError, orAborted, pollUntil, within } from '../../src/common/deadline.js';

const never = new Promise<never>(() => undefined);

/** Runs the garbage collector now. */
function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

describe('within', () => {
  const parent = () => new AbortController();
  const left = (signal: AbortSignal) => getEventListeners(signal, 'abort').length;

  it.each(['resolves', 'rejects', 'throws'])(
    'is what the work brings, and leaves no timer and no listener when the work %s',
    async (how) => {
      jest.useFakeTimers();
      const { signal } = parent();
      const run = within({ ms: 60_000, signal }, (own) => {
        expect([own.aborted, jest.getTimerCount(), left(signal)]).toEqual([false, 1, 1]);
        if (how === 'throws') throw new Error('its own');
        return how === 'resolves' ? Promise.resolve(7) : Promise.reject(new Error('its own'));
      });
      if (how === 'resolves') await expect(run).resolves.toBe(7);
      else await expect(run).rejects.toThrow('its own');
      expect([jest.getTimerCount(), left(signal)]).toEqual([0, 0]);
      jest.useRealTimers();
    },
  );

  it('ends at its limit and not before, also when the work does not heed its signal', async () => {
    jest.useFakeTimers();
    const { signal } = parent();
    let own: AbortSignal | undefined;
    const ended = jest.fn();
    const run = within({ ms: 1500, signal }, (its) => {
      own = its;
      return never;
    }).catch(ended);
    await jest.advanceTimersByTimeAsync(1499);
    expect([own?.aborted, ended.mock.calls.length]).toEqual([false, 0]);
    await jest.advanceTimersByTimeAsync(1);
    await run;
    expect(ended).toHaveBeenCalledWith(new DeadlineError(1500));
    expect(own?.reason).toEqual(new DeadlineError(1500));
    expect([jest.getTimerCount(), left(signal)]).toEqual([0, 0]);
    jest.useRealTimers();
  });

  it('ends with the error that its caller has for the limit, whatever the work makes of its signal', async () => {
    const late = (): Error => new TypeError('the engine is slow');
    const work = (signal: AbortSignal) =>
      new Promise<string>((resolve) => {
        signal.addEventListener('abort', () => {
          resolve('given up');
        });
      });
    await expect(within({ ms: 5, late }, work)).rejects.toThrow('the engine is slow');
  });

  it('ends with its parent, for the reason of the parent', async () => {
    const controller = parent();
    const { signal } = controller;
    let own: AbortSignal | undefined;
    const run = within({ ms: 60_000, signal }, (its) => {
      own = its;
      return never;
    });
    controller.abort(new Error('enough'));
    await expect(run).rejects.toThrow('enough');
    expect(own?.reason).toEqual(new Error('enough'));
    expect(left(signal)).toBe(0);
  });

  it('does not begin when its parent has aborted', async () => {
    const work = jest.fn(() => never);
    await expect(within({ ms: 5, signal: AbortSignal.abort(new Error('before')) }, work)).rejects.toThrow(
      'before',
    );
    expect(work).not.toHaveBeenCalled();
  });

  it('has no limit beyond the longest timer, where Node would make it one of 1 ms', async () => {
    jest.useFakeTimers();
    for (const ms of [2 ** 31, Infinity]) {
      const run = within({ ms }, () => {
        expect(jest.getTimerCount()).toBe(0);
        return Promise.resolve('done');
      });
      await expect(run).resolves.toBe('done');
    }
    jest.useRealTimers();
  });

  it('leaves no rejection unhandled when the work fails after the limit', async () => {
    const unhandled = jest.fn();
    process.on('unhandledRejection', unhandled);
    const work = () => sleep(10).then(() => Promise.reject(new Error('late')));
    await expect(within({ ms: 1 }, work)).rejects.toThrow(DeadlineError);
    await sleep(20);
    process.off('unhandledRejection', unhandled);
    expect(unhandled).not.toHaveBeenCalled();
  });

  it('still aborts its work, nested, when garbage was collected', async () => {
    let aborted = 0;
    const work = (signal: AbortSignal) => {
      signal.addEventListener('abort', () => (aborted += 1));
      return never;
    };
    const outer = (signal: AbortSignal) => within({ ms: 60_000, signal }, work);
    const runs = Array.from({ length: 20 }, () => within({ ms: 60 }, outer));
    const ended = Promise.allSettled(runs);
    await sleep(5);
    collectGarbage();
    await ended;
    expect(aborted).toBe(20);
  });
});

describe('orAborted', () => {
  it('is the promise, as long as nothing aborts', async () => {
    const { signal } = new AbortController();
    await expect(orAborted(Promise.resolve(7), signal)).resolves.toBe(7);
    await expect(orAborted(Promise.reject(new Error('its own')), signal)).rejects.toThrow('its own');
  });

  it('rejects as soon as the signal aborts, however long the work takes', async () => {
    const controller = new AbortController();
    const result = orAborted(never, controller.signal);
    controller.abort(new Error('enough'));
    await expect(result).rejects.toThrow('enough');
  });

  it('leaves no rejection unhandled when the signal had aborted before', async () => {
    const unhandled = jest.fn();
    process.on('unhandledRejection', unhandled);
    const failing = new Promise<never>((_resolve, reject) => setImmediate(reject, new Error('late')));
    await expect(orAborted(failing, AbortSignal.abort(new Error('before')))).rejects.toThrow('before');
    await sleep(5);
    process.off('unhandledRejection', unhandled);
    expect(unhandled).not.toHaveBeenCalled();
  });
});

describe('pollUntil', () => {
  it('asks until there is an answer', async () => {
    const probe = jest.fn<() => Promise<string | undefined>>();
    probe.mockResolvedValueOnce(undefined).mockResolvedValueOnce(undefined).mockResolvedValue('there');
    await expect(pollUntil(probe, { intervalMs: 1, signal: AbortSignal.timeout(5000) })).resolves.toBe(
      'there',
    );
    expect(probe).toHaveBeenCalledTimes(3);
  });

  it('ends with the reason of its signal, also in the middle of an interval', async () => {
    const controller = new AbortController();
    const polling = pollUntil(() => Promise.resolve(undefined), {
      intervalMs: 60_000,
      signal: controller.signal,
    });
    await sleep(1);
    controller.abort(new Error('enough'));
    await expect(polling).rejects.toThrow('enough');
  });

  it('passes on what the probe throws', async () => {
    const probe = (): Promise<undefined> => Promise.reject(new Error('broken'));
    await expect(pollUntil(probe, { intervalMs: 1, signal: AbortSignal.timeout(1000) })).rejects.toThrow(
      'broken',
    );
  });
});
