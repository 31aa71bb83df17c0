import { Inject, Injectable } from '@nestjs/common';
import { Interval } from '@nestjs/schedule';
import { within } from '../../common/deadline.js';
import { LOGGER, type Logger } from '../../common/logging/logger.js';
import { type GpuIdentity, GpusService } from '../../gpus/gpus.service.js';
import { GpuNotFoundError } from '../deployment/errors.js';
import type { HeldGpu } from '../deployment/held-gpus.js';
import { PlacementJournal } from '../deployment/placement-journal.js';
import type { DeploymentWorkers } from '../worker/deployment-workers.js';
import { Deployments } from './deployments.js';

/** Time, ms, that the boot waits for the driver: where it is late, the GPUs are where they were last seen. */
const FIRST_LOOK_MS = 2000;
/** Time, ms, between two looks at where the GPUs are. */
const LOOK_MS = 10_000;

/**
 * Keeps every placement on its own GPU: NVML's indices shift when a GPU is taken out, UUIDs do not. At every reading the
 * index follows the UUID. Of a UUID that a reading does not have, its placement is in ERROR; a reading that failed, or in
 * which a GPU did not tell its UUID, says nothing about who is gone.
 */
@Injectable()
export class GpuWhereabouts {
  constructor(
    private readonly deployments: Deployments,
    private readonly gpus: GpusService,
    private readonly journal: PlacementJournal,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Once the state has been read; resolves when the GPUs were looked at, or do not answer. Returns the end of it. */
  async begin(): Promise<() => void> {
    const unsubscribe = this.gpus.onReading((gpus) => {
      this.look(gpus);
    });
    const changes = this.journal.changes.subscribe(() => {
      this.save();
    });
    if (this.deployments.all.length > 0) {
      // That they cannot be read is said by whoever needs them.
      await within({ ms: FIRST_LOOK_MS }, () => this.gpus.inventory()).catch(() => undefined);
    }
    return () => {
      unsubscribe();
      changes.unsubscribe();
    };
  }

  /** Also where nobody asks for readings. Waits for nothing. */
  @Interval(LOOK_MS)
  tick(): void {
    if (this.deployments.all.length > 0) void this.gpus.inventory().catch(() => undefined);
  }

  private look(gpus: readonly GpuIdentity[]): void {
    const isTold = gpus.every(({ uuid }) => uuid !== null);
    let hasMoved = false;
    for (const workers of this.deployments.all) {
      for (const placement of workers.state.placements()) {
        const before = placement.gpuIds;
        if (!placement.held.locate(gpus)) continue;
        hasMoved = true;
        this.logger.warn(
          { model_name: workers.state.modelName, before, now: placement.gpuIds },
          'The GPUs of this host have other indices now: a placement is shown under that of its GPU',
        );
      }
      if (isTold) this.giveUpMissing(workers);
    }
    if (hasMoved) this.journal.touched();
  }

  private giveUpMissing(workers: DeploymentWorkers): void {
    const { modelName } = workers.state;
    for (const placement of workers.state.active()) {
      const { gpuId, held } = placement;
      if (held.missing.length === 0) continue;
      const done = workers.records.lostTheirGpus([placement], goneError(modelName, held.missing)).then(() => {
        workers.on(gpuId).failedMeanwhile();
      });
      done.catch((error: unknown) => {
        this.logger.error(
          { err: error, model_name: modelName },
          'A placement without its GPU was not given up',
        );
      });
    }
  }

  private save(): void {
    for (const { state, records } of this.deployments.all) {
      const unsaved = state.placements().filter((placement) => placement.held.takeUnsaved());
      if (unsaved.length > 0) void records.save();
    }
  }
}

function goneError(modelName: string, missing: readonly HeldGpu[]): GpuNotFoundError {
  const words = missing.map(({ id, uuid }) => `${String(uuid)} (last seen as GPU ${id})`).join(', ');
  return new GpuNotFoundError(
    `${modelName} was started on GPU ${words}, which is not on this host any more. Its place is not given to another GPU: put the GPU back and start the model again, or stop it here (with "gpu_uuid": "${String(missing[0]?.uuid)}" in the request, so that whoever has its index now is left alone) and start it on another GPU.`,
    { missing },
  );
}
