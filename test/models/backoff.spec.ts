import fc from 'fast-check';
import { FakeClock } from '../fakes/fake-clock.js';
import { Backoff } from '../../src/models/worker/backoff.js';

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
