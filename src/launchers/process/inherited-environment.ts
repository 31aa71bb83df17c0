import { GPU_VARIABLES } from '../gpu-variables.js';

/** Begin what concerns this service alone, or decides about GPUs; a server that needs one gets it from its section's `env`. */
export const WITHHELD_PREFIXES = ['MIC_', 'CUDA_', 'NVIDIA_', 'HIP_', 'ROCR_'] as const;

/** What systemd tells this service: a server that answers in its name would end the wait for it, or its watchdog. */
export const SYSTEMD_VARIABLES = [
  'NOTIFY_SOCKET',
  'WATCHDOG_PID',
  'WATCHDOG_USEC',
  'LISTEN_FDS',
  'LISTEN_PID',
  'LISTEN_FDNAMES',
] as const;

/** This service's own environment, as far as a server inherits it: without the variables `withheld` either. */
export function inheritedEnvironment(
  own: NodeJS.ProcessEnv,
  withheld: readonly string[] = [],
): Record<string, string> {
  const names = new Set<string>([...GPU_VARIABLES, ...SYSTEMD_VARIABLES, ...withheld]);
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(own)) {
    if (value === undefined || names.has(name)) continue;
    if (WITHHELD_PREFIXES.some((prefix) => name.startsWith(prefix))) continue;
    environment[name] = value;
  }
  return environment;
}
