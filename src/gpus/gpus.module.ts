import { Module } from '@nestjs/common';
import { Clock } from '../common/clock.js';
import { LOGGER, type Logger } from '../common/logging/logger.js';
import { CONFIG } from '../config/config.module.js';
import type { Config } from '../config/schema.js';
import { GpuProvider } from './gpu-provider.js';
import { GpuOccupants } from './gpu-occupants.js';
import { GpusController } from './gpus.controller.js';
import { GpuCordons } from './health/gpu-cordons.js';
import { GpuHealth } from './health/gpu-health.js';
import { GpuHealthWatch } from './health/gpu-health-watch.js';
import { GpuHealthController } from './health/gpu-health.controller.js';
import { GpusService } from './gpus.service.js';
import { ProcessOwners } from './process-owners.js';
import { StateModule } from '../state/state.module.js';

/** Nothing is loaded or read before the first sample: a service without a driver starts all the same. */
async function createProvider(
  { gpus, state }: Config,
  occupants: GpuOccupants,
  clock: Clock,
  logger: Logger,
): Promise<GpuProvider> {
  if (gpus.source === 'simulated') {
    const { SimulatedGpuProvider } = await import('./simulated/simulated-gpu-provider.js');
    return new SimulatedGpuProvider(gpus.simulated, occupants, state.dir);
  }
  const { NvmlGpuProvider } = await import('./nvml/nvml-gpu-provider.js');
  const onNote = (note: string): void => {
    logger.info({ event: 'gpu' }, note);
  };
  return new NvmlGpuProvider(
    { library: gpus.nvml_library, timeoutMs: gpus.sample_timeout_ms, onNote },
    clock,
  );
}

@Module({
  imports: [StateModule],
  controllers: [GpusController, GpuHealthController],
  providers: [
    GpuOccupants,
    GpusService,
    GpuCordons,
    GpuHealth,
    GpuHealthWatch,
    ProcessOwners,
    { provide: GpuProvider, useFactory: createProvider, inject: [CONFIG, GpuOccupants, Clock, LOGGER] },
  ],
  exports: [GpusService, GpuCordons, GpuHealth, GpuOccupants, ProcessOwners],
})
export class GpusModule {}
