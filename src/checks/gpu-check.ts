import type { GpuHealth } from '../gpus/health/gpu-health.js';
import type { GpusService } from '../gpus/gpus.service.js';
import { type Check, fault, type Fault } from './check.js';

/** The GPUs of this host can be read, every one, and can be used. */
export function gpuCheck(gpus: Pick<GpusService, 'list'>, health: Pick<GpuHealth, 'of'>): Check {
  return {
    name: 'nvml',
    late: 'GPU_READ_FAILED',
    run: async () => {
      const samples = await gpus.list();
      if (samples.length === 0) {
        const remedy = 'See whether `nvidia-smi -L` lists them for the user of this service.';
        return [fault('This host has no GPU that can be read: every start is refused.', remedy)];
      }
      return samples.flatMap((gpu): Fault[] => {
        const { id, error } = gpu;
        const { status, reason } = health.of(gpu);
        return [
          ...(error === undefined
            ? []
            : [fault(`GPU ${id} cannot be read: ${error}.`, 'See what `nvidia-smi` says of it.')]),
          ...(status === 'ok'
            ? []
            : [fault(`GPU ${id} is ${status}: ${String(reason)}.`, remedyFor(id, status))]),
        ];
      });
    },
  };
}

function remedyFor(id: number, status: 'unhealthy' | 'cordoned'): string {
  if (status === 'unhealthy') {
    return `Mend it; POST /api/v1/gpus/${id}/cordon keeps models off it until then, and /uncordon says that you know of it.`;
  }
  return `Mend it, then POST /api/v1/gpus/${id}/uncordon.`;
}
