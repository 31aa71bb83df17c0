import { DomainError } from '../common/errors.js';

/** The largest pid that Linux ever gives (`PID_MAX_LIMIT` of 64-bit kernels). */
export const MAX_PID = 4_194_304;

const SHOWN_LENGTH = 40;

/** Its plain decimal form, and nothing else: to kill(2), 0 and negative numbers are process groups. */
const PLAIN_NUMBER = /^[1-9][0-9]{0,6}$/;

/** What stands for the pid in the path is none. */
export class PidInvalidError extends DomainError {
  readonly code = 'PID_INVALID';
  readonly kind = 'invalid';

  constructor(text: string) {
    const shown = JSON.stringify(text.length > SHOWN_LENGTH ? `${text.slice(0, SHOWN_LENGTH)}…` : text);
    super(`Not a pid: ${shown}. Give a whole decimal number from 1 to ${MAX_PID}.`);
  }
}

/** @throws PidInvalidError for anything but the decimal digits of 1 to `MAX_PID` */
export function parsePid(text: string): number {
  const pid = PLAIN_NUMBER.test(text) ? Number(text) : Number.NaN;
  if (pid <= MAX_PID) return pid;
  throw new PidInvalidError(text);
}

/** `dry_run` is neither true nor false. */
export class DryRunInvalidError extends DomainError {
  readonly code = 'DRY_RUN_INVALID';
  readonly kind = 'invalid';

  constructor() {
    super('dry_run takes true or false: with true, nothing is ended, and the answer says what would be.');
  }
}

/** Left out: false. @throws DryRunInvalidError: what was meant to be tried must not be done */
export function parseDryRun(value: unknown): boolean {
  if (value === undefined || value === 'false') return false;
  if (value === 'true') return true;
  throw new DryRunInvalidError();
}
