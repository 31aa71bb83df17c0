import { deadline, orAborted } from './deadline.js';
import { DomainError } from './errors.js';

/** Work was told to give up its turn; nobody's fault. */
export class InterruptedError extends Error {
  constructor() {
    super('interrupted');
    this.name = 'InterruptedError';
  }
}

/**
 * One piece of work with a deadline, that can be told to end earlier. Work that does not heed its signal is left
 * behind when its grace is over, so that nobody waits for it for ever.
 */
export class Interruptible {
  private readonly controller = new AbortController();

  constructor(
    private readonly limitMs: number,
    private readonly graceMs: number,
  ) {}

  get isInterrupted(): boolean {
    return this.controller.signal.aborted;
  }

  interrupt(): void {
    this.controller.abort(new InterruptedError());
  }

  /** @throws InterruptedError, DeadlineError, or what `work` says of its end in its own words (a DomainError) */
  async run<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const signal = deadline(this.limitMs, this.controller.signal);
    const patience = new AbortController();
    const onAbort = (): void => {
      setTimeout(() => {
        patience.abort(signal.reason);
      }, this.graceMs).unref();
    };
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await orAborted(work(signal), patience.signal);
    } catch (error) {
      if (!(error instanceof DomainError)) signal.throwIfAborted();
      throw error;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }
}
