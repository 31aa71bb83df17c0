import type { ProcessIdentity } from '../host/process-identity.js';
import { ProcessNotFoundError, ProcessNotKilledError } from './errors.js';
import type { HostProcesses } from './host-processes.js';

/** Time, as far as the end of a process needs it. */
export interface Pace {
  monotonicMs(): number;
  pause(ms: number): Promise<void>;
}

export interface EndOptions {
  /** From SIGTERM to SIGKILL; 0 sends SIGKILL at once. */
  readonly graceMs: number;
  /** From SIGKILL to giving up. */
  readonly killTimeoutMs: number;
}

/** What it took. */
export type EndedBy = 'SIGTERM' | 'SIGKILL';

const LOOK_INTERVAL_MS = 20;

async function endsWithin(
  timeoutMs: number,
  target: ProcessIdentity,
  host: HostProcesses,
  pace: Pace,
): Promise<boolean> {
  const end = pace.monotonicMs() + timeoutMs;
  for (;;) {
    if ((await host.running(target)) === undefined) return true;
    const left = end - pace.monotonicMs();
    if (left <= 0) return false;
    await pace.pause(Math.min(LOOK_INTERVAL_MS, left));
  }
}

async function describeSurvivor(target: ProcessIdentity, host: HostProcesses): Promise<string> {
  const running = await host.running(target);
  const state = typeof running === 'object' ? running.state : '?';
  return state === 'D' || state === 'U'
    ? 'it is in uninterruptible sleep, inside a driver or a file system, and ends when that lets go, or with a reboot'
    : `its state is ${state}; look at it on the host, and try again`;
}

/**
 * SIGTERM, a grace, SIGKILL; each goes to this very process or to nobody. Resolves when it is gone.
 * @throws ProcessNotFoundError when it was gone before the first signal, ProcessPermissionError, ProcessNotKilledError
 */
export async function endProcess(
  target: ProcessIdentity,
  options: EndOptions,
  host: HostProcesses,
  pace: Pace,
): Promise<EndedBy> {
  const { pid } = target;
  const { graceMs, killTimeoutMs } = options;
  const first = graceMs > 0 ? 'SIGTERM' : 'SIGKILL';
  if (!(await host.signal(target, first))) {
    throw new ProcessNotFoundError(`Process ${pid} has ended by itself.`, { pid });
  }
  if (first === 'SIGTERM') {
    if (await endsWithin(graceMs, target, host, pace)) return 'SIGTERM';
    if (!(await host.signal(target, 'SIGKILL'))) return 'SIGTERM';
  }
  if (await endsWithin(killTimeoutMs, target, host, pace)) return 'SIGKILL';
  throw new ProcessNotKilledError(
    `Process ${pid} is still there ${killTimeoutMs / 1000} s after SIGKILL: ${await describeSurvivor(target, host)}.`,
    { pid },
  );
}
