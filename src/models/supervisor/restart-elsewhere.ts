import { Inject, Injectable } from '@nestjs/common';
import { messageOf } from '../../common/errors.js';
import { LOGGER, type Logger } from '../../common/logging/logger.js';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/schema.js';
import type { DeploymentState } from '../deployment/deployment-state.js';
import type { Placement } from '../deployment/placement.js';
import { StartCommands } from './start-commands.js';

/**
 * What was on a GPU that has gone bad is started on another, where the operator says that it may run there
 * (`gpus.health.restart_elsewhere`): on one that has room for it, with the options it had. A placement over several GPUs was
 * given these on purpose, and is not moved.
 */
@Injectable()
export class RestartElsewhere {
  constructor(
    private readonly starts: StartCommands,
    @Inject(CONFIG) private readonly config: Pick<Config, 'gpus'>,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** @param assertOpen throws when no command is taken any more */
  async begin(state: DeploymentState, placement: Placement, assertOpen: () => void): Promise<void> {
    if (!this.config.gpus.health.restart_elsewhere || !state.inCatalog || placement.gpus.length > 1) return;
    const { modelName } = state;
    const facts = { event: 'gpu', model_name: modelName, gpu_id: placement.index };
    let fault = 'no other GPU has room for it';
    for (const gpuId of await this.roomFor(state, placement)) {
      try {
        const config = { ...state.runner.optionsOn(state.options, [gpuId]) };
        await this.starts.start(modelName, gpuId, config, { assertOpen, request: undefined });
        this.logger.warn(
          { ...facts, to: gpuId },
          `${modelName} was on GPU ${placement.index}, which is bad, and is started on GPU ${gpuId}`,
        );
        return;
      } catch (error) {
        fault = messageOf(error);
      }
    }
    this.logger.error({ ...facts, fault }, `${modelName} cannot be started on another GPU: ${fault}`);
  }

  /** GPUs that have room for it, those with the most memory left first; none that has the model already. */
  private async roomFor(state: DeploymentState, placement: Placement): Promise<number[]> {
    const config = { ...state.optionsOf(placement) };
    const { gpus } = await this.starts.foresee(state.modelName, placement.index, config);
    return [...gpus]
      .filter(([id, { refusal }]) => !refusal && !state.servingOn(id) && !state.releasingOn(id))
      .sort(([, a], [, b]) => (b.leftMiB ?? -1) - (a.leftMiB ?? -1))
      .map(([id]) => id);
  }
}
