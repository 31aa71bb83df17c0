import type { Config } from '../../config/schema.js';
import { GpuProvider, type GpuSample } from '../gpu-provider.js';
import type { GpuTenants } from '../gpu-tenants.js';
import { simulatedGpu } from './simulated-gpu.js';

/** Invented GPUs (`gpus.simulated`) that react to what is placed on them. */
export class SimulatedGpuProvider extends GpuProvider {
  constructor(
    private readonly simulation: Config['gpus']['simulated'],
    private readonly tenants: GpuTenants,
  ) {
    super();
  }

  override sample(_signal: AbortSignal): Promise<readonly GpuSample[]> {
    const tenants = this.tenants.list();
    return Promise.resolve(
      Array.from({ length: this.simulation.count }, (_, id) =>
        simulatedGpu(
          id,
          this.simulation,
          tenants.filter((tenant) => tenant.gpuId === id),
        ),
      ),
    );
  }

  override close(): Promise<void> {
    return Promise.resolve();
  }
}
