import type { LauncherRegistry } from '../launchers/launcher-registry.js';
import type { Check } from './check.js';

/** The Docker Engine answers, and will do; of a host that runs its servers without it, nothing is asked. */
export function engineCheck(launchers: LauncherRegistry): Check {
  return {
    name: 'engine',
    late: 'DOCKER_UNAVAILABLE',
    run: async (signal) => {
      await launchers.requireEngine(signal);
      return [];
    },
  };
}
