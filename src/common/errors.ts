/**
 * What went wrong, in terms a caller can act on. The kind decides the HTTP status, in `error-filter.ts` alone;
 * nothing below the controllers knows HTTP.
 */
export type ErrorKind =
  'invalid' | 'forbidden' | 'not_found' | 'conflict' | 'not_implemented' | 'unavailable' | 'internal';

/** Whether trying again may help: `always` (what is needed is away for now), `bounded` times, or `never`. */
export type RetryPolicy = 'always' | 'bounded' | 'never';

/** Structured facts of an error, for logs; never shown to a caller as they are. */
export type ErrorFacts = Readonly<Record<string, unknown>>;

/**
 * The base of every expected error. `message` is one sentence for a person: what, which, and what to do.
 * `code` is stable and listed with its remedy in `docs/errors.md`.
 */
export abstract class DomainError extends Error {
  abstract readonly code: string;
  abstract readonly kind: ErrorKind;
  readonly retry: RetryPolicy = 'never';

  constructor(
    message: string,
    readonly facts: ErrorFacts = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** The service ends, and takes no more commands. */
export class ShuttingDownError extends DomainError {
  readonly code = 'SHUTTING_DOWN';
  readonly kind = 'unavailable';
}

/** The text of anything thrown, for a sentence or a log line. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The `code` of a Node system error (`ENOENT`, `ECONNREFUSED` …), where there is one. */
export function systemCodeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** No room, or none left of a quota: it passes, whoever runs into it. */
const FULL = ['ENOSPC', 'EDQUOT'];

/** The disk is full, or a cause of the error is that. */
export function isDiskFull(error: unknown): boolean {
  for (let each = error; each instanceof Error; each = each.cause) {
    if (FULL.includes(systemCodeOf(each) ?? '')) return true;
  }
  return false;
}

/** Anything thrown that is not expected by its class is final. */
export function retryPolicyOf(error: unknown): RetryPolicy {
  if (isDiskFull(error)) return 'always';
  return error instanceof DomainError ? error.retry : 'never';
}
