import { pollUntil, within } from '../../common/deadline.js';
import type { IndexRow, TritonClient } from './triton-client.js';

const UNLOAD_POLL_MS = 50;
const PROBE_OF_UNLOAD_TIMEOUT_MS = 2000;

/**
 * Unloads, and resolves when Triton has let go: an unload answers while requests in flight still hold the model.
 * @throws the signal's reason, TritonProtocolError, or a system error when nobody answers
 */
export async function unloadFully(client: TritonClient, model: string, signal: AbortSignal): Promise<void> {
  await client.unload(model, signal);
  await pollUntil(
    async () => {
      const rows = await within({ ms: PROBE_OF_UNLOAD_TIMEOUT_MS, signal }, (limit) =>
        client.indexOf(model, limit),
      );
      return rows.every((row) => isGone(row)) || undefined;
    },
    { intervalMs: UNLOAD_POLL_MS, signal },
  );
}

function isGone(row: IndexRow): boolean {
  return row.state === undefined || row.state === 'UNAVAILABLE' || row.state === 'UNKNOWN';
}
