import { jest } from '@jest/globals';
import fc from 'fast-check';
import { FakeClock } from '../fakes/fake-clock.js';
import { Backoff } from '../../src/models/worker/backoff.js';
import { pass, useFakeTime } from '../fakes/timers.js';

const CONFIG = {
  max_attempts: 3,
  initial_delay_ms: 100,
  max_delay_ms: 1000,
  stable_after_seconds: 60,
  window_seconds: 600,
  jitter: 0,
};

function after(failures: number, config = CONFIG): Backoff {
  const backoff = new Backoff(config, new FakeClock());
  for (let index = 0; index < failures; index += 1) backoff.failed();
  return backoff;
}

describe('the backoff', () => {
  it.each([
    [0, 100],
    [1, 200],
    [2, 400],
    [3, 800],
    [4, 1000],
    [2000, 1000],
  ])('after %d failures waits %d ms', (failures, delayMs) => {
    expect(after(failures).delayMs).toBe(delayMs);
  });

  it.each([
    [0, false],
    [3, false],
    [4, true],
  ])('after %d failures is exhausted: %s', (failures, exhausted) => {
    expect(after(failures).exhausted).toBe(exhausted);
  });

  it('begins anew', () => {
    const backoff = after(4);
    backoff.reset();
    expect([backoff.count, backoff.delayMs, backoff.exhausted]).toEqual([0, 100, false]);
  });

  it('never grows beyond its limit, and never shrinks', () => {
    fc.assert(
      fc.property(fc.nat(100), fc.integer({ min: 10, max: 1e6 }), (failures, maxDelayMs) => {
        const config = { ...CONFIG, max_delay_ms: maxDelayMs };
        expect(after(failures, config).delayMs).toBeLessThanOrEqual(maxDelayMs);
        expect(after(failures + 1, config).delayMs).toBeGreaterThanOrEqual(after(failures, config).delayMs);
      }),
    );
  });
});

describe('the window of failures', () => {
  const windowMs = CONFIG.window_seconds * 1000;

  beforeEach(useFakeTime);
  afterEach(() => {
    jest.useRealTimers();
  });

  it('forgets each failure when it is as old as the window, and not before', async () => {
    const backoff = after(1);
    await pass(1000);
    backoff.failed();
    await pass(windowMs - 1001);
    expect([backoff.count, backoff.delayMs]).toEqual([2, 400]);
    await pass(1);
    expect([backoff.count, backoff.delayMs]).toEqual([1, 200]);
    await pass(1000);
    expect([backoff.count, backoff.delayMs]).toEqual([0, 100]);
  });

  it('ends what was exhausted, without another failure', async () => {
    const backoff = after(CONFIG.max_attempts + 1);
    await pass(windowMs - 1);
    expect(backoff.exhausted).toBe(true);
    await pass(1);
    expect(backoff.exhausted).toBe(false);
  });

  it('is never exhausted by failures that are rare', async () => {
    const backoff = after(0);
    for (let failure = 0; failure < 50; failure += 1) {
      backoff.failed();
      expect(backoff.exhausted).toBe(false);
      await pass(windowMs / CONFIG.max_attempts);
    }
  });
});

describe('the jitter', () => {
  const delayOf = (failures: number, jitter: number, random: number): number => {
    const backoff = new Backoff({ ...CONFIG, jitter }, new FakeClock(), () => random);
    for (let failure = 0; failure < failures; failure += 1) backoff.failed();
    return backoff.delayMs;
  };

  it.each([
    [0, 100],
    [0.5, 110],
    [1, 120],
  ])('of 0.2 makes 100 ms, by the random number %d, %d ms', (random, delayMs) => {
    expect(delayOf(0, 0.2, random)).toBeCloseTo(delayMs);
  });

  it('only lengthens a delay, by its share at most, also the longest', () => {
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(fc.nat(20), share, share, (failures, jitter, random) => {
        const plainMs = after(failures).delayMs;
        const delayMs = delayOf(failures, jitter, random);
        expect(delayMs).toBeGreaterThanOrEqual(plainMs);
        expect(delayMs).toBeLessThanOrEqual(plainMs * (1 + jitter) * (1 + Number.EPSILON));
      }),
    );
  });

  it('differs from one backoff to the next', () => {
    const delays = new Set(
      Array.from({ length: 10 }, () => new Backoff({ ...CONFIG, jitter: 0.5 }, new FakeClock()).delayMs),
    );
    expect(delays.size).toBeGreaterThan(1);
  });
});
