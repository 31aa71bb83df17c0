/** The work took longer than it may. Not a DeadlineError: that of the caller says nothing of who was asked. */
export class TimeLimitError extends Error {
  constructor(readonly limitMs: number) {
    super(`no answer within ${limitMs / 1000} s`);
    this.name = 'TimeLimitError';
  }
}

/**
 * `work`'s result. Its signal aborts at the limit or with `parent`; the promise then rejects at once, whether or not
 * `work` heeds the signal (docker-modem does not when a connection breaks off in the middle of an answer).
 * Leaves no timer and no listener behind, as calls are many and their parents live long.
 * @throws TimeLimitError; the parent's reason; what `work` throws
 */
export async function withinTime<T>(
  limitMs: number,
  parent: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  parent.throwIfAborted();
  const controller = new AbortController();
  let end: (reason: unknown) => void = () => undefined;
  const ended = new Promise<never>((_resolve, reject) => {
    end = (reason) => {
      const error = reason instanceof Error ? reason : new Error(String(reason));
      reject(error);
      controller.abort(error);
    };
  });
  const onParentAbort = (): void => {
    end(parent.reason);
  };
  const timer = setTimeout(() => {
    end(new TimeLimitError(limitMs));
  }, limitMs);
  parent.addEventListener('abort', onParentAbort, { once: true });
  try {
    return await Promise.race([work(controller.signal), ended]);
  } finally {
    clearTimeout(timer);
    parent.removeEventListener('abort', onParentAbort);
  }
}
