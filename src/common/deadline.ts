import { setTimeout as sleep } from 'node:timers/promises';

/** A signal that aborts after `ms` milliseconds, or earlier when `parent` does. */
export function deadline(ms: number, parent?: AbortSignal): AbortSignal {
  const timeout = AbortSignal.timeout(ms);
  return parent ? AbortSignal.any([timeout, parent]) : timeout;
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
    await sleep(options.intervalMs, undefined, { signal: options.signal });
  }
}

/**
 * `promise`, or a rejection with the signal's reason once it aborts. The work behind `promise` goes on: use it only
 * for work that cannot be cancelled, and whose late result nobody needs.
 */
export async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => {
      reject(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)));
    };
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    if (onAbort) signal.removeEventListener('abort', onAbort);
  }
}
