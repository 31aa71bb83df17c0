import type { Clock } from '../common/clock.js';
import { within } from '../common/deadline.js';
import { messageOf } from '../common/errors.js';
import type { Logger } from '../common/logging/logger.js';

/** Time, ms, that a reading waits for an answer. */
const ASK_TIMEOUT_MS = 500;
/** After an answer that failed to come, ms until anybody is asked again. */
const SILENCE_MS = 5000;

/** A question that nobody waits long for: one that is not answered costs half a second, once in a while. */
export class BriefQuestion {
  /** Monotonic ms: nobody is asked earlier. */
  private askNotBefore = 0;

  constructor(
    private readonly clock: Clock,
    private readonly logger: Logger,
  ) {}

  /** `undefined`: nobody can tell just now. */
  async ask<T>(about: string, question: (limit: AbortSignal) => Promise<T>): Promise<T | undefined> {
    if (this.clock.monotonicMs() < this.askNotBefore) return undefined;
    try {
      return await within({ ms: ASK_TIMEOUT_MS }, question);
    } catch (error) {
      this.askNotBefore = this.clock.monotonicMs() + SILENCE_MS;
      this.logger.debug({ err: error }, `${about} cannot be told: ${messageOf(error)}`);
      return undefined;
    }
  }
}
