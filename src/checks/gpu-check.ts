import type { GpusService } from '../gpus/gpus.service.js';
import { type Check, fault, type Fault } from './check.js';

/** The GPUs of this host can be read, every one. */
export function gpuCheck(gpus: GpusService): Check {
  return {
    name: 'nvml',
    late: 'GPU_READ_FAILED',
    run: async () => {
      const samples = await gpus.list();
      if (samples.length === 0) {
        const remedy = 'See whether `nvidia-smi -L` lists them for the user of this service.';
        return [fault('This host has no GPU that can be read: every start is refused.', remedy)];
      }
      return samples.flatMap(({ id, error }): Fault[] =>
        error === undefined
          ? []
          : [fault(`GPU ${id} cannot be read: ${error}.`, 'See what `nvidia-smi` says of it.')],
      );
    },
  };
}
