import { within } from './deadline.js';
import { DomainError } from './errors.js';

/** Work was told to give up its turn; nobody's fault. */
export class InterruptedError extends Error {
  constructor() {
    super('interrupted');
    this.name = 'InterruptedError';
  }
}

/**
 * One piece of work with a time limit, that can be told to end earlier. Its caller waits for the end of the work at most
 * `graceMs` longer, also when the work does not heed its signal.
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

  /**
   * Work that was interrupted before does not begin.
   * @throws InterruptedError, DeadlineError, or what `work` says of its end in its own words (a DomainError)
   */
  async run<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const limit = { ms: this.limitMs, signal: this.controller.signal };
    let begun: { readonly end: Promise<T>; readonly signal: AbortSignal } | undefined;
    try {
      return await within(limit, (signal) => {
        begun = { end: work(signal), signal };
        return begun.end;
      });
    } catch (error) {
      if (!begun?.signal.aborted) throw error;
      return await this.endInGrace(begun.end, error);
    }
  }

  private async endInGrace<T>(end: Promise<T>, reason: unknown): Promise<T> {
    try {
      return await within({ ms: this.graceMs }, () => end);
    } catch (error) {
      throw error instanceof DomainError ? error : reason;
    }
  }
}
