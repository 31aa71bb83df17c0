import { DomainError } from '../common/errors.js';

/** 1: the weights wait in the host's memory. 2: nothing is kept, and a wake reads them from disk. */
export type SleepLevel = 1 | 2;

/** What a runner may know and use while it has a placement fall asleep or wake up. */
export interface SleepContext {
  /** Aborts when the work is no longer wanted; the runner returns soon after. */
  readonly signal: AbortSignal;
  /** Tells in words how far it is. */
  readonly onProgress: (progress: string) => void;
}

/** The backend's models cannot sleep. */
export class SleepNotSupportedError extends DomainError {
  readonly code = 'SLEEP_NOT_SUPPORTED';
  readonly kind = 'not_implemented';

  constructor(backend: string) {
    super(`Models of ${backend} cannot sleep: stop the model to free its memory.`, { backend });
  }
}

/** The backend's models can sleep, this one cannot, or not at this level. */
export class SleepUnavailableError extends DomainError {
  readonly code = 'SLEEP_UNAVAILABLE';
  readonly kind = 'conflict';
}

/** The backend did not fall asleep or wake up. */
export class SleepFailedError extends DomainError {
  readonly code = 'SLEEP_FAILED';
  readonly kind = 'internal';
}
