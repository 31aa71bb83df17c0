import type { Clock } from '../../common/clock.js';
import type { Config } from '../../config/schema.js';

/**
 * Counts failures within `restart.window_seconds`, and says how long to wait after them, ms. Jitter keeps what died
 * together from coming back together.
 */
export class Backoff {
  /** Monotonic ms of each. */
  private failures: readonly number[] = [];

  constructor(
    private readonly config: Config['restart'],
    private readonly clock: Pick<Clock, 'monotonicMs'>,
    /** 0 to 1. */
    private readonly random: () => number = Math.random,
  ) {}

  /** More failures than tries are allowed. */
  get exhausted(): boolean {
    return this.count > this.config.max_attempts;
  }

  get count(): number {
    const since = this.clock.monotonicMs() - this.config.window_seconds * 1000;
    this.failures = this.failures.filter((at) => at > since);
    return this.failures.length;
  }

  /** Delay before the next try, doubling with every failure counted so far; longer by up to `restart.jitter` of it. */
  get delayMs(): number {
    const { initial_delay_ms: initial, max_delay_ms: limit, jitter } = this.config;
    return Math.min(initial * 2 ** this.count, limit) * (1 + this.random() * jitter);
  }

  failed(): void {
    this.failures = [...this.failures, this.clock.monotonicMs()];
  }

  reset(): void {
    this.failures = [];
  }
}
