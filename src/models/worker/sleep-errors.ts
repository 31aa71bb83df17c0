import { DomainError } from '../../common/errors.js';

/** Only what serves can fall asleep or wake up. */
export class PlacementNotRunningError extends DomainError {
  readonly code = 'PLACEMENT_NOT_RUNNING';
  readonly kind = 'conflict';
}

/** It did not fall asleep or wake up in time. */
export class SleepTimeoutError extends DomainError {
  readonly code = 'SLEEP_TIMEOUT';
  readonly kind = 'internal';
}
