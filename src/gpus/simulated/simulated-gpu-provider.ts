import type { Config } from '../../config/schema.js';
import { GpuProvider, type GpuSample } from '../gpu-provider.js';
import type { GpuOccupants } from '../gpu-occupants.js';
import { simulatedGpu } from './simulated-gpu.js';

/** Invented GPUs (`gpus.simulated`) that react to what is placed on them. */
export class SimulatedGpuProvider extends GpuProvider {
  constructor(
    private readonly simulation: Config['gpus']['simulated'],
    private readonly occupants: GpuOccupants,
  ) {
    super();
  }

  override sample(_signal: AbortSignal): Promise<readonly GpuSample[]> {
    const occupants = this.occupants.list();
    return Promise.resolve(
      Array.from({ length: this.simulation.count }, (_, id) =>
        simulatedGpu(
          id,
          this.simulation,
          occupants.filter(({ gpuId, offGpu }) => gpuId === id && !offGpu),
        ),
      ),
    );
  }

  override close(): Promise<void> {
    return Promise.resolve();
  }
}
