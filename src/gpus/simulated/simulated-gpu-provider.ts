import type { Config } from '../../config/schema.js';
import { GpuProvider, type GpuSample } from '../gpu-provider.js';
import type { GpuOccupants } from '../gpu-occupants.js';
import { simulatedGpu, simulatedUuid } from './simulated-gpu.js';

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
    const { count, taken_out: takenOut } = this.simulation;
    const slots = Array.from({ length: count }, (_, slot) => slot).filter((slot) => !takenOut.includes(slot));
    return Promise.resolve(
      slots.map((slot, id) => {
        const here = occupants.filter(({ gpuId, offGpu }) => gpuId === id && !offGpu);
        return { ...simulatedGpu(id, this.simulation, here), uuid: simulatedUuid(slot) };
      }),
    );
  }

  override close(): Promise<void> {
    return Promise.resolve();
  }
}
