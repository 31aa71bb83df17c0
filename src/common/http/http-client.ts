import { request } from 'node:http';
import { systemCodeOf } from '../errors.js';

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

export interface HttpCall {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Its abort ends the call; the only deadline there is. */
  readonly signal: AbortSignal;
  /** A longer answer is an error. */
  readonly maxBytes?: number;
}

const DEFAULT_MAX_BYTES = 4 * 1024 * 1024;

/** There was an answer, and it is none: not HTTP, longer than a well-behaved backend would give, or without sense. */
export class UnusableAnswerError extends Error {}

/**
 * One HTTP call to a backend. Redirects are answers like any other, and the body is bounded.
 *
 * Every call has a connection of its own: Triton does its loads on the thread of a connection, so that a reused one
 * would get its answer only when somebody else's load is done.
 * @throws the signal's reason, a system error, or UnusableAnswerError
 */
export function callHttp(call: HttpCall): Promise<HttpAnswer> {
  const { promise, resolve, reject } = settled<HttpAnswer>();
  const payload = call.body === undefined ? undefined : JSON.stringify(call.body);
  const outgoing = request(call.url, {
    method: call.method,
    agent: false,
    signal: call.signal,
    headers:
      payload === undefined
        ? {}
        : { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(payload) },
  });
  const maxBytes = call.maxBytes ?? DEFAULT_MAX_BYTES;
  const fail = (error: Error): void => {
    reject(call.signal.aborted ? call.signal.reason : error);
  };
  outgoing.on('error', (error) => {
    fail(
      isOfParser(error) ? new UnusableAnswerError(`${call.url}: ${error.message}`, { cause: error }) : error,
    );
  });
  outgoing.on('response', (response) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const brokeOff = (): void => {
      fail(new Error(`${call.url} broke off its answer`));
    };
    response.on('data', (chunk: Buffer) => {
      length += chunk.length;
      chunks.push(chunk);
      if (length <= maxBytes) return;
      // At once: an answer that came in one piece would be taken for a complete one before the connection is gone.
      fail(new UnusableAnswerError(`${call.url} answered more than ${maxBytes} bytes`));
      outgoing.destroy();
    });
    response.on('error', brokeOff);
    response.on('end', () => {
      resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') });
    });
    response.on('close', () => {
      if (!response.complete) brokeOff();
    });
  });
  outgoing.end(payload);
  return promise;
}

/** `HPE_…` are the codes of Node's HTTP parser. */
function isOfParser(error: Error): boolean {
  return systemCodeOf(error)?.startsWith('HPE_') === true;
}

/** `Promise.withResolvers`, which Node 20 lacks. */
function settled<T>(): {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (error: unknown) => void;
} {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}
