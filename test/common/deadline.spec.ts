import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { jest } from '@jest/globals';
import { deadline, DeadlineError, orAborted, pollUntil } from '../../src/common/deadline.js';

const never = new Promise<never>(() => undefined);

describe('deadline', () => {
  it('aborts after its time, and says how long that was', () => {
    jest.useFakeTimers();
    const signal = deadline(1500);
    jest.advanceTimersByTime(1499);
    expect(signal.aborted).toBe(false);
    jest.advanceTimersByTime(1);
    expect(signal.reason).toEqual(new DeadlineError(1500));
    jest.useRealTimers();
  });

  it('aborts with its parent, for the reason of the parent', () => {
    const parent = new AbortController();
    const signal = deadline(60_000, parent.signal);
    parent.abort(new Error('enough'));
    expect(signal.reason).toEqual(new Error('enough'));
    expect(deadline(60_000, parent.signal).aborted).toBe(true);
  });

  it('still aborts when nobody but its listener knows it and garbage was collected', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    let aborted = 0;
    for (let index = 0; index < 20; index += 1) {
      const nested = deadline(60_000, deadline(60, new AbortController().signal));
      nested.addEventListener('abort', () => (aborted += 1));
    }
    await sleep(5);
    collectGarbage();
    await sleep(100);
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
    await expect(pollUntil(probe, { intervalMs: 1, signal: deadline(5000) })).resolves.toBe('there');
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
    await expect(pollUntil(probe, { intervalMs: 1, signal: deadline(1000) })).rejects.toThrow('broken');
  });
});
