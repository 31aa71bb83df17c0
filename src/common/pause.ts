import { setTimeout as sleep } from 'node:timers/promises';

/** Waits. @throws the signal's own reason when it aborts (the bare timer throws an AbortError of its own) */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}
