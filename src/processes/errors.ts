import { DomainError } from '../common/errors.js';

/** Nobody has this pid, or just a zombie, or a single thread of a process. */
export class ProcessNotFoundError extends DomainError {
  readonly code = 'PROCESS_NOT_FOUND';
  readonly kind = 'not_found';
}

/** One of the processes that this service never ends. */
export class ProcessForbiddenError extends DomainError {
  readonly code = 'PROCESS_FORBIDDEN';
  readonly kind = 'forbidden';
}

/** `processes.scope` leaves it out. */
export class ProcessOutOfScopeError extends DomainError {
  readonly code = 'PROCESS_OUT_OF_SCOPE';
  readonly kind = 'forbidden';
}

/** Nobody can tell just now whether it belongs to a server of this service, or to another container. */
export class ProcessOwnerUnknownError extends DomainError {
  readonly code = 'PROCESS_OWNER_UNKNOWN';
  readonly kind = 'unavailable';

  constructor(pid: number, reason: string, options?: ErrorOptions) {
    super(
      `Whose process ${pid} is cannot be told, so nothing is ended: ${reason}. Try again when that is mended; a model of this service can be stopped by its name.`,
      { pid },
      options,
    );
  }
}

/** It outlived SIGKILL. */
export class ProcessNotKilledError extends DomainError {
  readonly code = 'PROCESS_NOT_KILLED';
  readonly kind = 'internal';
}
