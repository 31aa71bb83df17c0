import type { GpuHealth } from '../gpus/health/gpu-health.js';
import type { Config } from '../config/schema.js';
import type { GpuRef } from '../runners/deployment.js';
import type { GpusService } from '../gpus/gpus.service.js';
import { type Check, fault, type Fault } from './check.js';

/** The GPUs of this host can be read, every one, and can be used. */
export function gpuCheck(
  gpus: Pick<GpusService, 'list'>,
  health: Pick<GpuHealth, 'of'>,
  policies: Config['gpus']['policies'],
): Check {
  return {
    name: 'nvml',
    late: 'GPU_READ_FAILED',
    run: async () => {
      const samples = await gpus.list();
      if (samples.length === 0) {
        const remedy = 'See whether `nvidia-smi -L` lists them for the user of this service.';
        return [fault('This host has no GPU that can be read: every start is refused.', remedy)];
      }
      const faults = samples.flatMap((gpu): Fault[] => {
        const { id, error } = gpu;
        const { status, reason } = health.of(gpu);
        return [
          ...(error === undefined ? [] : [fault(`${error}.`, 'See what `nvidia-smi` says of it.')]),
          ...(status === 'ok'
            ? []
            : [fault(`GPU ${id} is ${status}: ${String(reason)}.`, remedyFor(id, status))]),
        ];
      });
      return [...faults, ...strayPolicies(Object.keys(policies), samples)];
    },
  };
}

/** Of a UUID, nobody can tell while that of one GPU is not known. */
function strayPolicies(keys: readonly string[], gpus: readonly GpuRef[]): Fault[] {
  const areKnown = gpus.every(({ uuid }) => uuid !== null);
  const ids = gpus.map(({ id }) => id).join(', ');
  return keys
    .filter((key) => key !== 'default' && (areKnown || /^\d+$/.test(key)))
    .filter((key) => !gpus.some(({ id, uuid }) => key === String(id) || key === uuid))
    .map((key) =>
      fault(
        `gpus.policies.${key} counts for nothing: there is no GPU ${key} on this host. GPUs: ${ids}.`,
        'Correct gpus.policies: by NVML index, or by UUID (`nvidia-smi -L`).',
      ),
    );
}

function remedyFor(id: number, status: 'unhealthy' | 'cordoned'): string {
  if (status === 'unhealthy') {
    return `Mend it; POST /api/v1/gpus/${id}/cordon keeps models off it until then, and /uncordon says that you know of it.`;
  }
  return `Mend it, then POST /api/v1/gpus/${id}/uncordon.`;
}
