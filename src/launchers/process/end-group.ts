import { performance } from 'node:perf_hooks';
import { StopFailedError, type StopSignal } from '../launcher.js';
import { pause } from '../../common/pause.js';
import type { ProcessGroup, Remains } from './process-group.js';

export interface EndOptions {
  readonly name: string;
  readonly politeSignal: StopSignal;
  /** From the polite signal to SIGKILL; 0 sends SIGKILL at once. */
  readonly graceMs: number;
  /** From SIGKILL to giving up: a process inside the kernel (a GPU driver, a dead disk) does not end before it returns. */
  readonly killTimeoutMs: number;
  readonly signal: AbortSignal;
}

const QUICK_INTERVAL_MS = 20;
/** A look at the whole process table costs milliseconds, so it is taken ever more rarely. */
const FIRST_SCAN_MS = 40;
const LONGEST_SCAN_INTERVAL_MS = 320;

function isEmpty(remains: Remains): boolean {
  return remains.group.length === 0 && remains.strays.length === 0;
}

/** Waits until nothing remains or `timeoutMs` have passed; returns what remains. */
async function waitForEnd(
  group: ProcessGroup,
  timeoutMs: number,
  signal: AbortSignal,
  onRemains: (remains: Remains) => void,
): Promise<Remains> {
  const end = performance.now() + timeoutMs;
  let scanInterval = FIRST_SCAN_MS;
  let nextScan = performance.now() + scanInterval;
  let onlyStrays = false;
  for (;;) {
    const left = end - performance.now();
    await pause(Math.max(1, Math.min(QUICK_INTERVAL_MS, left)), signal);
    const now = performance.now();
    // The quick look: a zombie that nobody reaps counts as a member in it, and strays do not show.
    if (now < end && now < nextScan && (onlyStrays || group.mayHaveMembers())) continue;
    const remains = await group.remains();
    if (isEmpty(remains) || now >= end) return remains;
    onRemains(remains);
    onlyStrays = remains.group.length === 0;
    scanInterval = Math.min(scanInterval * 2, LONGEST_SCAN_INTERVAL_MS);
    nextScan = performance.now() + scanInterval;
  }
}

/**
 * Ends all processes of a server: the polite signal to the group, and to strays once the group is gone (their server may well
 * end them itself), then SIGKILL to whatever is left. Resolves when none is alive.
 * @throws StopFailedError naming the pids that outlived SIGKILL; the signal's reason when it aborts
 */
export async function endGroup(group: ProcessGroup, options: EndOptions): Promise<void> {
  const { name, politeSignal, graceMs, killTimeoutMs, signal } = options;
  signal.throwIfAborted();
  let remains = await group.remains();
  if (isEmpty(remains)) return;

  if (graceMs > 0) {
    let straysTold = remains.group.length === 0;
    group.signal(politeSignal, straysTold ? remains : { group: remains.group, strays: [] });
    remains = await waitForEnd(group, graceMs, signal, (now) => {
      if (straysTold || now.group.length > 0) return;
      straysTold = true;
      group.signal(politeSignal, now);
    });
    if (isEmpty(remains)) return;
  }

  group.signal('SIGKILL', remains);
  remains = await waitForEnd(group, killTimeoutMs, signal, (now) => {
    group.signal('SIGKILL', now);
  });
  if (isEmpty(remains)) return;
  const pids = [...remains.group, ...remains.strays].map((row) => row.pid);
  throw new StopFailedError(
    `${name} could not be stopped: process${pids.length === 1 ? '' : 'es'} ${pids.join(', ')} still there ` +
      `${killTimeoutMs / 1000} s after SIGKILL; a process that hangs in a driver ends when the driver lets go, or with a reboot`,
    { name, pids },
  );
}
