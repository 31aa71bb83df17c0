import { Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { LOGGER, type Logger } from '../../common/logging/logger.js';
import { Catalog } from '../deployment/catalog.js';

/** A drain that the configuration asks for, and which cannot work as the configuration stands. */
export interface VainDrain {
  readonly modelName: string;
  /** The cause and the remedy, in one sentence. */
  readonly reason: string;
}

/** Says at boot which of the configured drains cannot work. */
@Injectable()
export class DrainCheck implements OnApplicationBootstrap {
  constructor(
    private readonly catalog: Catalog,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  vainDrains(): VainDrain[] {
    return this.catalog.allRunners.flatMap((runner) =>
      runner.models.flatMap((modelName) => {
        const reason = runner.drainSeconds(modelName) > 0 ? runner.cannotDrain(modelName) : undefined;
        return reason === undefined ? [] : [{ modelName, reason }];
      }),
    );
  }

  onApplicationBootstrap(): void {
    for (const { modelName, reason } of this.vainDrains()) {
      this.logger.warn({ model_name: modelName }, `drain_seconds of ${modelName} has no effect. ${reason}`);
    }
  }
}
