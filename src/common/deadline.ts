import { pause } from './pause.js';

/** Something was not done in the time it had. */
export class DeadlineError extends Error {
  constructor(readonly limitMs: number) {
    super(`not done within ${limitMs / 1000} s`);
    this.name = 'DeadlineError';
  }
}

/**
 * A signal that aborts with a DeadlineError after `ms` milliseconds, or earlier when `parent` does.
 *
 * The timer holds its controller. `AbortSignal.timeout` has no such hold: Node 20 collects one that only
 * `AbortSignal.any` refers to, and the deadline never comes.
 */
export function deadline(ms: number, parent?: AbortSignal): AbortSignal {
  const controller = new AbortController();
  setTimeout(() => {
    controller.abort(new DeadlineError(ms));
  }, ms).unref();
  return parent ? AbortSignal.any([controller.signal, parent]) : controller.signal;
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
