import type { Config } from '../../config/schema.js';

/** Counts failures of one deployment, and says how long to wait after them (ms). */
export class Backoff {
  private failures = 0;

  constructor(private readonly config: Config['restart']) {}

  /** More failures than tries are allowed. */
  get exhausted(): boolean {
    return this.failures > this.config.max_attempts;
  }

  get count(): number {
    return this.failures;
  }

  /** Delay before the next try, doubling with every failure counted so far. */
  get delayMs(): number {
    return Math.min(this.config.initial_delay_ms * 2 ** this.failures, this.config.max_delay_ms);
  }

  failed(): void {
    this.failures += 1;
  }

  reset(): void {
    this.failures = 0;
  }
}
