import { join } from 'node:path';
import type { Config } from '../../config/schema.js';
import { GpuProvider, type GpuSample } from '../gpu-provider.js';
import type { GpuOccupants } from '../gpu-occupants.js';
import { SimulatedFaults } from './simulated-faults.js';
import { simulatedGpu, simulatedUuid } from './simulated-gpu.js';
import { ToldXids } from './told-xids.js';

/** Invented GPUs (`gpus.simulated`) that react to what is placed on them. */
export class SimulatedGpuProvider extends GpuProvider {
  private readonly faults: SimulatedFaults;

  constructor(
    private readonly simulation: Config['gpus']['simulated'],
    private readonly occupants: GpuOccupants,
    /** Where it keeps what is to outlast a restart; left out: nowhere. */
    stateDir?: string,
  ) {
    super();
    const told = new ToldXids(stateDir === undefined ? null : join(stateDir, 'simulated-xids.json'));
    this.faults = new SimulatedFaults(simulation.faults_file, told);
  }

  override sample(_signal: AbortSignal): Promise<readonly GpuSample[]> {
    const occupants = this.occupants.list();
    const { count, taken_out: takenOut } = this.simulation;
    const slots = Array.from({ length: count }, (_, slot) => slot).filter((slot) => !takenOut.includes(slot));
    const samples = slots.map((slot, id) => {
      const here = occupants.filter(({ gpuId, offGpu }) => gpuId === id && !offGpu);
      return { ...simulatedGpu(id, this.simulation, here), uuid: simulatedUuid(slot) };
    });
    return this.faults.applied(samples, new Map(slots.map((slot, id) => [id, slot])));
  }

  override close(): Promise<void> {
    return Promise.resolve();
  }
}
