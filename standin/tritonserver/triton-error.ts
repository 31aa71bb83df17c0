/** The classes of error that Triton tells apart, with the words it puts before a reason. */
export type TritonErrorCode = 'INVALID_ARG' | 'INTERNAL' | 'NOT_FOUND' | 'UNAVAILABLE' | 'UNSUPPORTED';

const WORDS = {
  INVALID_ARG: 'Invalid argument',
  INTERNAL: 'Internal',
  NOT_FOUND: 'Not found',
  UNAVAILABLE: 'Unavailable',
  UNSUPPORTED: 'Unsupported',
} as const satisfies Record<TritonErrorCode, string>;

const HTTP_STATUS = {
  INVALID_ARG: 400,
  INTERNAL: 500,
  NOT_FOUND: 404,
  UNAVAILABLE: 503,
  UNSUPPORTED: 501,
} as const satisfies Record<TritonErrorCode, number>;

/** An error that a client of the server is told. */
export class TritonError extends Error {
  override readonly name = 'TritonError';

  constructor(
    readonly code: TritonErrorCode,
    message: string,
  ) {
    super(message);
  }

  /** The HTTP status Triton answers with. */
  get httpStatus(): number {
    return HTTP_STATUS[this.code];
  }

  /** As Triton writes it in logs and in the index: `Internal: what happened`. */
  get asReason(): string {
    return `${WORDS[this.code]}: ${this.message}`;
  }

  /** As `tritonserver` writes it when it gives up: `Internal - what happened`. */
  get asFatal(): string {
    return `${WORDS[this.code]} - ${this.message}`;
  }
}

/** Any thrown value as an error that can be told. */
export function toTritonError(thrown: unknown): TritonError {
  if (thrown instanceof TritonError) return thrown;
  return new TritonError('INTERNAL', thrown instanceof Error ? thrown.message : String(thrown));
}
