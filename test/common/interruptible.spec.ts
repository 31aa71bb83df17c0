import { jest } from '@jest/globals';
import { DeadlineError } from '../../src/common/deadline.js';
import { DomainError } from '../../src/common/errors.js';
import { Interruptible, InterruptedError } from '../../src/common/interruptible.js';
import { pass, useFakeTime } from '../fakes/timers.js';

class OwnWordsError extends DomainError {
  readonly code = 'OWN_WORDS';
  readonly kind = 'internal';
}

/** Ends when its signal does. */
const heeding = (signal: AbortSignal) =>
  new Promise<never>((_resolve, reject) => {
    signal.addEventListener('abort', () => {
      reject(new Error('aborted'));
    });
  });
const deaf = () => new Promise<never>(() => undefined);

beforeEach(useFakeTime);
afterEach(() => {
  jest.useRealTimers();
});

describe('interruptible work', () => {
  it('brings what the work brings', async () => {
    await expect(new Interruptible(1000, 10).run(() => Promise.resolve(7))).resolves.toBe(7);
    await expect(new Interruptible(1000, 10).run(() => Promise.reject(new Error('own')))).rejects.toThrow(
      'own',
    );
  });

  it('leaves no timer behind', async () => {
    await new Interruptible(600_000, 500).run(() => Promise.resolve(7));
    expect(jest.getTimerCount()).toBe(0);
    const work = new Interruptible(600_000, 500);
    const run = work.run(heeding);
    work.interrupt();
    await expect(run).rejects.toThrow(InterruptedError);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('does not begin once it was interrupted', async () => {
    const work = new Interruptible(1000, 500);
    work.interrupt();
    const begin = jest.fn(deaf);
    await expect(work.run(begin)).rejects.toThrow(InterruptedError);
    expect(begin).not.toHaveBeenCalled();
  });

  it('ends at its deadline', async () => {
    const ended = expect(new Interruptible(1000, 10).run(heeding)).rejects.toThrow(DeadlineError);
    await pass(1000);
    await ended;
  });

  it('ends when it is interrupted', async () => {
    const work = new Interruptible(1000, 10);
    const ended = expect(work.run(heeding)).rejects.toThrow(InterruptedError);
    expect(work.isInterrupted).toBe(false);
    work.interrupt();
    await ended;
    expect(work.isInterrupted).toBe(true);
  });

  it('is left behind after a grace when it does not heed its signal', async () => {
    const work = new Interruptible(1000, 500);
    const settled = jest.fn();
    const ended = expect(work.run(deaf).finally(settled)).rejects.toThrow(InterruptedError);
    work.interrupt();
    await pass(499);
    expect(settled).not.toHaveBeenCalled();
    await pass(1);
    await ended;
  });

  it('may still succeed within its grace', async () => {
    const work = new Interruptible(1000, 500);
    const run = work.run(() => new Promise((resolve) => setTimeout(resolve, 1200, 'late')));
    await pass(1200);
    await expect(run).resolves.toBe('late');
  });

  it('says in its own words why it ended', async () => {
    const work = new Interruptible(1000, 500);
    const run = work.run(async (signal) => {
      await heeding(signal).catch(() => undefined);
      throw new OwnWordsError('pid 7 is left');
    });
    const ended = expect(run).rejects.toThrow('pid 7 is left');
    await pass(1000);
    await ended;
  });
});
