import { DeadlineError, pollUntil, type TimeLimit, within } from '../../common/deadline.js';
import type { IndexRow, TritonClient } from './triton-client.js';

const UNLOAD_POLL_MS = 50;
/** Time, ms, of the first look; each that gets no answer gives the next one twice as long. */
const FIRST_LOOK_MS = 2000;

/**
 * Unloads, and resolves when Triton has let go: an unload answers while requests in flight still hold the model.
 * @throws the signal's reason, TritonProtocolError, or a system error when nobody answers
 */
export async function unloadFully(client: TritonClient, model: string, signal: AbortSignal): Promise<void> {
  await client.unload(model, signal);
  let limitMs = FIRST_LOOK_MS;
  const look = async (): Promise<true | undefined> => {
    try {
      const rows = await within({ ms: limitMs, signal }, (limit) => client.indexOf(model, limit));
      return rows.every((row) => isGone(row)) || undefined;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof DeadlineError)) throw error;
      // An answer that is late says nothing of the unload: the caller's signal is its only deadline.
      limitMs *= 2;
      return undefined;
    }
  };
  await pollUntil(look, { intervalMs: UNLOAD_POLL_MS, signal });
}

/**
 * Waits for the end of an unload that others have asked for. Says whether it is over, or nothing of one was seen.
 * @param tell is called once where there is one
 * @throws the signal's reason, TritonProtocolError, or a system error when nobody answers
 */
export async function untilUnloadEnds(
  client: TritonClient,
  model: string,
  { ms, signal }: TimeLimit,
  tell: () => void,
): Promise<boolean> {
  let wasSeen = false;
  const look = async (limit: AbortSignal): Promise<true | undefined> => {
    const states = (await client.indexOf(model, limit)).map(({ state }) => state);
    const isOver = !states.includes('UNLOADING') || states.includes('READY') || states.includes('LOADING');
    if (!isOver && !wasSeen) tell();
    wasSeen ||= !isOver;
    return isOver || undefined;
  };
  try {
    await within({ ms, signal }, (limit) =>
      pollUntil(() => look(limit), { intervalMs: UNLOAD_POLL_MS, signal: limit }),
    );
    return true;
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof DeadlineError)) throw error;
    return !wasSeen;
  }
}

function isGone(row: IndexRow): boolean {
  return row.state === undefined || row.state === 'UNAVAILABLE' || row.state === 'UNKNOWN';
}
