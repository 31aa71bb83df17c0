import { Clock } from '../../src/common/clock.js';

/** Time as jest's fake timers have it, so that delays, deadlines and the clock agree. */
export class FakeClock extends Clock {
  now(): Date {
    return new Date();
  }

  monotonicMs(): number {
    return Date.now();
  }
}
