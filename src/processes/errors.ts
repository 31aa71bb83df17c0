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

/** The operating system does not let this service signal it. */
export class ProcessPermissionError extends DomainError {
  readonly code = 'PROCESS_PERMISSION';
  readonly kind = 'forbidden';

  constructor(pid: number, options?: ErrorOptions) {
    super(
      `This service lacks the permission to end process ${pid}: run it as root or as the user of that process, or give it CAP_KILL; in a container, AppArmor may forbid it as well.`,
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
