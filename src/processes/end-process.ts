import { endProcesses, type EndOptions } from '../host/end-processes.js';
import type { ProcessIdentity, ProcessRow } from '../host/process-identity.js';
import { ProcessNotFoundError, ProcessNotKilledError } from './errors.js';
import type { HostProcesses } from '../host/host-processes.js';

/** The signal that it took. */
export type EndedBy = 'SIGTERM' | 'SIGKILL';

function describeSurvivor(survivor: ProcessRow | 'unseen'): string {
  const state = survivor === 'unseen' ? '?' : survivor.state;
  return state === 'D' || state === 'U'
    ? 'it is in uninterruptible sleep, inside a driver or a file system, and ends when that lets go, or with a reboot'
    : `its state is ${state}; look at it on the host, and try again`;
}

/**
 * SIGTERM, a grace, SIGKILL; each once, to this very process and to no other. Resolves when it is gone. Nothing cuts it
 * short: several requests may wait for it.
 * @throws ProcessNotFoundError when it was gone before the first signal, ProcessPermissionError, ProcessNotKilledError
 */
export async function endProcess(
  target: ProcessIdentity,
  times: Pick<EndOptions, 'graceMs' | 'killTimeoutMs'>,
  host: HostProcesses,
): Promise<EndedBy> {
  const { pid } = target;
  const gone = (): Error => new ProcessNotFoundError(`Process ${pid} has ended by itself.`, { pid });
  let sent: EndedBy | undefined;
  const signalOnce = async (signal: EndedBy): Promise<void> => {
    if (sent === signal) return;
    if (await host.signal(target, signal)) sent = signal;
    else if (sent === undefined) throw gone();
  };
  const survivor = await endProcesses(
    { remains: () => host.running(target), signal: signalOnce },
    { ...times, politeSignal: 'SIGTERM', signal: new AbortController().signal },
  );
  if (survivor !== undefined) {
    throw new ProcessNotKilledError(
      `Process ${pid} is still there ${times.killTimeoutMs / 1000} s after SIGKILL: ${describeSurvivor(survivor)}.`,
      { pid },
    );
  }
  if (sent === undefined) throw gone();
  return sent;
}
