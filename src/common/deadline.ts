import { pause } from './pause.js';

/** A time in milliseconds, as people read it: `1.25 s`, never with more than three decimals. */
export function inSeconds(ms: number): string {
  return `${Math.round(ms) / 1000} s`;
}

/** Something was not done in the time it had. */
export class DeadlineError extends Error {
  constructor(readonly limitMs: number) {
    super(`not done within ${inSeconds(limitMs)}`);
    this.name = 'DeadlineError';
  }
}

/** Longest delay, ms, that a timer takes; Node makes 1 ms of anything beyond. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export interface TimeLimit {
  /** Milliseconds; beyond 2^31 - 1, the longest timer, there is no limit. */
  readonly ms: number;
  /** Ends the work earlier. */
  readonly signal?: AbortSignal | undefined;
  /** Makes the error at the limit; by default a DeadlineError. */
  readonly late?: () => Error;
}

/**
 * `work`'s result. Its signal aborts at the limit or with the parent; the promise then rejects at once, whether or not
 * `work` heeds the signal. Work whose parent has aborted does not begin. Leaves no timer and no listener behind.
 *
 * Not made of `AbortSignal.any`: the parents live long and the calls are many, and Node 20 may collect a timeout that
 * only `any` refers to.
 * @throws the error at the limit; the parent's reason; what `work` throws
 */
export async function within<T>(limit: TimeLimit, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const { ms, signal: parent, late = () => new DeadlineError(ms) } = limit;
  parent?.throwIfAborted();
  const own = new AbortController();
  const onLimit = (): void => {
    own.abort(late());
  };
  const timer = ms > LONGEST_TIMER_MS ? undefined : setTimeout(onLimit, ms);
  const onParentAbort = (): void => {
    own.abort(parent?.reason);
  };
  parent?.addEventListener('abort', onParentAbort, { once: true });
  try {
    return await orAborted(work(own.signal), own.signal);
  } finally {
    clearTimeout(timer);
    parent?.removeEventListener('abort', onParentAbort);
  }
}

/**
 * Calls `probe` every `intervalMs` until it returns something other than `undefined`, and returns that.
 * @throws the signal's reason once it aborts; whatever `probe` throws.
 */
export async function pollUntil<T>(
  probe: () => Promise<T | undefined>,
  options: { intervalMs: number; signal: AbortSignal },
): Promise<T> {
  for (;;) {
    options.signal.throwIfAborted();
    const result = await probe();
    if (result !== undefined) return result;
    await pause(options.intervalMs, options.signal);
  }
}

/**
 * `promise`, or a rejection with the signal's reason once it aborts. The work behind `promise` goes on: use it only
 * for work that cannot be cancelled, and whose late result nobody needs.
 */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      reject(reasonOf(signal));
    };
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    promise.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', onAbort);
    });
  });
}

function reasonOf(signal: AbortSignal): Error {
  const reason: unknown = signal.reason;
  return reason instanceof Error ? reason : new Error(String(reason));
}
