import { Inject, Injectable } from '@nestjs/common';
import { ShuttingDownError } from '../../common/errors.js';
import { LOGGER, type Logger } from '../../common/logging/logger.js';
import { GpuUnhealthyError } from '../../gpus/health/errors.js';
import { GpuCordons, lastingName, type NamedGpu } from '../../gpus/health/gpu-cordons.js';
import type { Placement } from '../deployment/placement.js';
import type { DeploymentWorkers } from '../worker/deployment-workers.js';
import { Deployments } from './deployments.js';
import { RestartElsewhere } from './restart-elsewhere.js';

/**
 * What is on a GPU that this service has found to be bad is in ERROR with the cause, and is let go of as any placement that
 * failed. What its model has on other GPUs serves on, or comes back there; where the operator lets it, it is started on another. An operator's cordon ends nothing.
 */
@Injectable()
export class BadGpus {
  private isClosed = false;
  /** One may be found on a bad GPU by several findings at once: it is restarted elsewhere once. */
  private readonly underWay = new Set<Placement>();

  constructor(
    private readonly deployments: Deployments,
    private readonly cordons: GpuCordons,
    private readonly elsewhere: RestartElsewhere,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Once the state has been read: a GPU may have been found bad just before the last run ended. Returns the end of it. */
  begin(): () => void {
    for (const workers of this.onGpus()) {
      for (const placement of workers.state.active()) {
        const bad = placement.held.present.find((gpu) => this.cordons.foundOf(gpu) !== undefined);
        if (bad) this.giveUp(workers, placement, bad, this.cordons.foundOf(bad) ?? '');
      }
    }
    const unsubscribe = this.cordons.onBadGpu((gpu, reason) => {
      for (const workers of this.onGpus()) {
        for (const placement of workers.state.active()) {
          if (isOn(placement, gpu)) this.giveUp(workers, placement, gpu, reason);
        }
      }
    });
    return () => {
      this.isClosed = true;
      unsubscribe();
    };
  }

  private assertOpen(): void {
    if (this.isClosed) throw new ShuttingDownError('This service is shutting down.');
  }

  /** A model that runs on the host's CPUs has nothing on a GPU, whatever its placements are called. */
  private onGpus(): DeploymentWorkers[] {
    return this.deployments.all.filter(({ state }) => !state.needs.offGpu);
  }

  private giveUp(workers: DeploymentWorkers, placement: Placement, gpu: NamedGpu, reason: string): void {
    if (this.underWay.has(placement)) return;
    this.underWay.add(placement);
    const { modelName } = workers.state;
    const error = new GpuUnhealthyError(
      `GPU ${gpu.id}, which ${modelName} is on, is bad: ${reason}. It is cordoned, and what was on it is ended. Start ${modelName} on another GPU; mend this one, and end its cordon with POST /api/v1/gpus/${lastingName(gpu)}/uncordon.`,
      { modelName, gpuId: gpu.id, gpuUuid: gpu.uuid, reason },
    );
    const done = workers.records.lostTheirGpus([placement], error).then(async () => {
      workers.on(placement.gpuId).failedMeanwhile();
      if (placement.error?.code !== error.code) return; // something else has become of it meanwhile
      await this.elsewhere.begin(workers.state, placement, () => {
        this.assertOpen();
      });
    });
    done
      .catch((failure: unknown) => {
        this.logger.error(
          { err: failure, model_name: modelName },
          'A placement on a bad GPU was not given up',
        );
      })
      .finally(() => this.underWay.delete(placement));
  }
}

function isOn({ held }: Placement, { id, uuid }: NamedGpu): boolean {
  return held.present.some((gpu) => (gpu.uuid === null || uuid === null ? gpu.id === id : gpu.uuid === uuid));
}
