import { Module } from '@nestjs/common';
import { GpusModule } from '../gpus/gpus.module.js';
import { RunnersModule } from '../runners/runners.module.js';
import { StateModule } from '../state/state.module.js';
import { Catalog } from './deployment/catalog.js';
import { HealthPoller } from './watch/health-poller.js';
import { ModelTypes } from './api/model-types.js';
import { ModelsController } from './api/models.controller.js';
import { OrphanWatch } from './watch/orphan-watch.js';
import { OrphansController } from './api/orphans.controller.js';
import { DeploymentStates } from './deployment/deployment-states.js';
import { PlacementJournal } from './deployment/placement-journal.js';
import { GpuRoom } from './room/gpu-room.js';
import { MemoryLearner } from './watch/memory-learner.js';
import { RenewalWatch } from './watch/renewal-watch.js';
import { Acceptance } from './supervisor/acceptance.js';
import { Adoption } from './supervisor/adoption.js';
import { BadGpus } from './supervisor/bad-gpus.js';
import { Deployments } from './supervisor/deployments.js';
import { GpuWhereabouts } from './supervisor/gpu-whereabouts.js';
import { RestartElsewhere } from './supervisor/restart-elsewhere.js';
import { ServerEnd } from './supervisor/server-end.js';
import { ServerShutdown } from './supervisor/shutdown.js';
import { OnGpus } from './supervisor/on-gpus.js';
import { StartChecks } from './supervisor/start-checks.js';
import { StartCommands } from './supervisor/start-commands.js';
import { SleepController } from './api/sleep.controller.js';
import { Supervisor } from './supervisor/supervisor.js';
import { WorkerServices } from './worker/worker-services.js';

@Module({
  imports: [RunnersModule, GpusModule, StateModule],
  controllers: [ModelsController, SleepController, OrphansController],
  providers: [
    Catalog,
    PlacementJournal,
    DeploymentStates,
    WorkerServices,
    GpuRoom,
    Deployments,
    GpuWhereabouts,
    BadGpus,
    RestartElsewhere,
    StartChecks,
    Acceptance,
    ServerEnd,
    Adoption,
    OnGpus,
    StartCommands,
    ServerShutdown,
    Supervisor,
    ModelTypes,
    HealthPoller,
    OrphanWatch,
    MemoryLearner,
    RenewalWatch,
  ],
  exports: [Supervisor],
})
export class ModelsModule {}
