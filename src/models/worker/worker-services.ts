import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../../common/clock.js';
import { LOGGER, type Logger } from '../../common/logging/logger.js';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/schema.js';
import { GpuCordons } from '../../gpus/health/gpu-cordons.js';
import { GpusService } from '../../gpus/gpus.service.js';
import { DesiredStateStore } from '../../state/desired-state.store.js';
import { GpuMemoryStore } from '../../state/gpu-memory.store.js';
import { DeploymentStates } from '../deployment/deployment-states.js';
import { PlacementJournal } from '../deployment/placement-journal.js';
import { DriftLog } from './drift-log.js';
import { Renewals } from './renewals.js';
import { ServerLoads } from './server-loads.js';
import { StartSlots } from './start-slots.js';

/** All that the workers share. */
@Injectable()
export class WorkerServices {
  /** Starts that measure free memory wait for each other. */
  readonly slots = new StartSlots();
  /** Loads into servers that several models share. */
  readonly loads: ServerLoads;
  /** Servers that the configuration would launch otherwise by now. */
  readonly drift: DriftLog;
  /** Servers that are to be started anew. */
  readonly renewals = new Renewals();

  constructor(
    readonly states: DeploymentStates,
    readonly store: DesiredStateStore,
    readonly journal: PlacementJournal,
    readonly gpus: GpusService,
    @Inject(Clock) readonly clock: Clock,
    @Inject(CONFIG) readonly config: Config,
    @Inject(LOGGER) readonly logger: Logger,
    readonly cordons: GpuCordons,
    readonly learned: GpuMemoryStore,
  ) {
    this.loads = new ServerLoads(clock);
    this.drift = new DriftLog(logger);
  }
}
