import { DomainError, messageOf } from '../common/errors.js';
import { remedyOf } from './remedies.js';

/** Something that will not work. */
export interface Fault {
  /** What is wrong, in a sentence. */
  readonly message: string;
  /** What to do about it. */
  readonly remedy: string;
  /** Both, for the log. */
  readonly line: string;
  /** The models that need it; empty where it is of no model. */
  readonly models: readonly string[];
}

/** What was found about one subject: nothing wrong, faults, or that nobody could tell in time. */
export interface Finding {
  /** `engine`, `clock`, or a subject of a backend: `triton.image`. */
  readonly name: string;
  readonly faults: readonly Fault[];
  /** Why nobody can tell; left out: it was told. */
  readonly unknown?: string;
}

/** One question about this host. */
export interface Check {
  readonly name: string;
  /** Code of the error that it means where no answer comes in time. */
  readonly late: string;
  run(signal: AbortSignal): Promise<readonly Fault[]>;
}

/** The message of an error of this service says what to do already. */
export function faultOf(error: unknown, models: readonly string[] = []): Fault {
  const message = messageOf(error);
  return error instanceof DomainError
    ? { message, remedy: remedyOf(error.code), line: message, models }
    : fault(message, remedyOf('INTERNAL_ERROR'), models);
}

export function fault(message: string, remedy: string, models: readonly string[] = []): Fault {
  return { message, remedy, line: `${message} ${remedy}`, models };
}
