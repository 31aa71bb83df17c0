import { within } from '../common/deadline.js';
import { BACKEND_LABEL, type Launcher } from '../launchers/launcher.js';
import type { RunnerHost } from './runner-host.js';
import type { Runner } from './runner.js';

/**
 * Makes the runner of a backend that the configuration does not offer: it has no models, and looks after what runs.
 * `undefined`: there is no such backend.
 */
export type FormerRunner = (backend: string) => Runner | undefined;

/**
 * Names of the backends of which some launcher of this host has servers of this service, dead or alive. A launcher that does
 * not answer has none: the configuration may not use it.
 */
export type BackendsWithServers = (signal: AbortSignal) => Promise<readonly string[]>;
export const BACKENDS_WITH_SERVERS = Symbol('BACKENDS_WITH_SERVERS');
export const FORMER_RUNNER = Symbol('FORMER_RUNNER');

/** Time, ms, of a launcher that the configuration may not use to say which servers it has. */
const LOOK_TIMEOUT_MS = 2000;

export function backendsWithServers(launchers: Pick<RunnerHost['launchers'], 'peek'>): BackendsWithServers {
  const seenBy = async (kind: Launcher['kind'], signal: AbortSignal): Promise<readonly string[]> => {
    try {
      const infos = await within({ ms: LOOK_TIMEOUT_MS, signal }, (limit) =>
        launchers.peek(kind).list({}, limit),
      );
      return infos.flatMap(({ labels }) => labels[BACKEND_LABEL] ?? []);
    } catch {
      signal.throwIfAborted();
      return [];
    }
  };
  return async (signal) => {
    const seen = await Promise.all([seenBy('process', signal), seenBy('docker', signal)]);
    return [...new Set(seen.flat())];
  };
}
