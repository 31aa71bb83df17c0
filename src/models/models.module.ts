import { Module } from '@nestjs/common';
import { GpusModule } from '../gpus/gpus.module.js';
import { RunnersModule } from '../runners/runners.module.js';
import { StateModule } from '../state/state.module.js';
import { Catalog } from './catalog.js';
import { HealthPoller } from './health-poller.js';
import { ModelsController } from './models.controller.js';
import { PlacementJournal } from './placement-journal.js';
import { GpuRoom } from './room/gpu-room.js';
import { ServerShutdown } from './shutdown.js';
import { Supervisor } from './supervisor.js';

@Module({
  imports: [RunnersModule, GpusModule, StateModule],
  controllers: [ModelsController],
  providers: [Catalog, PlacementJournal, GpuRoom, ServerShutdown, Supervisor, HealthPoller],
  exports: [Supervisor],
})
export class ModelsModule {}
