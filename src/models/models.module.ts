import { Module } from '@nestjs/common';
import { GpusModule } from '../gpus/gpus.module.js';
import { RunnersModule } from '../runners/runners.module.js';
import { StateModule } from '../state/state.module.js';
import { Catalog } from './catalog.js';
import { HealthPoller } from './health-poller.js';
import { ModelsController } from './models.controller.js';
import { OrphanWatch } from './orphans/orphan-watch.js';
import { OrphansController } from './orphans/orphans.controller.js';
import { PlacementJournal } from './placement-journal.js';
import { GpuRoom } from './room/gpu-room.js';
import { MemoryLearner } from './room/memory-learner.js';
import { ServerShutdown } from './shutdown.js';
import { SleepController } from './sleep/sleep.controller.js';
import { Supervisor } from './supervisor.js';

@Module({
  imports: [RunnersModule, GpusModule, StateModule],
  controllers: [ModelsController, SleepController, OrphansController],
  providers: [
    Catalog,
    PlacementJournal,
    GpuRoom,
    ServerShutdown,
    Supervisor,
    HealthPoller,
    OrphanWatch,
    MemoryLearner,
  ],
  exports: [Supervisor],
})
export class ModelsModule {}
