import { performance } from 'node:perf_hooks';

/**
 * Time, injectable. Deadlines and delays use `monotonicMs`, which no change of the wall clock moves;
 * `now` is for what a person reads.
 */
export abstract class Clock {
  abstract now(): Date;
  /** Milliseconds since an arbitrary start; never goes back. */
  abstract monotonicMs(): number;
}

export class SystemClock extends Clock {
  now(): Date {
    return new Date();
  }

  monotonicMs(): number {
    return performance.now();
  }
}
