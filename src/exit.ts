import { pollUntil } from './common/deadline.js';

/** Time, ms, for operations on files that are under way. */
const PATIENCE_MS = 1000;
const LOOK_MS = 20;

/**
 * Ends this process with `code`. `process.exit` waits for operations on files that libuv's threads have begun, and so for
 * ever where a disk has stalled; this process ends by SIGKILL then.
 */
export async function exit(code: number): Promise<void> {
  const isFree = (): Promise<true | undefined> => Promise.resolve(isOnFiles() ? undefined : true);
  try {
    await pollUntil(isFree, { intervalMs: LOOK_MS, signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch {
    process.kill(process.pid, 'SIGKILL');
    return;
  }
  process.exit(code);
}

function isOnFiles(): boolean {
  return process.getActiveResourcesInfo().some((resource) => resource.startsWith('FSReq'));
}
