import { Inject, Injectable } from '@nestjs/common';
import { Interval } from '@nestjs/schedule';
import { Clock } from '../../common/clock.js';
import { LOGGER, type Logger } from '../../common/logging/logger.js';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/schema.js';
import { GpusService } from '../gpus.service.js';

const TICK_MS = 100;
/** After a reading that failed, ms until the next: a host without a driver is not asked every few seconds. */
const RETRY_MS = 60_000;

/** Has the GPUs read now and then, whether or not anybody asks. One reading at a time; waits for none. */
@Injectable()
export class GpuHealthWatch {
  private notBefore = 0;
  private isReading = false;

  constructor(
    private readonly gpus: GpusService,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(CONFIG) private readonly config: Pick<Config, 'gpus'>,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  @Interval(TICK_MS)
  tick(): void {
    const now = this.clock.monotonicMs();
    if (this.isReading || now < this.notBefore) return;
    this.isReading = true;
    this.notBefore = now + this.config.gpus.health.interval_seconds * 1000;
    void this.gpus
      .list()
      .catch((error: unknown) => {
        this.notBefore = this.clock.monotonicMs() + RETRY_MS;
        this.logger.debug({ err: error }, 'The health of the GPUs cannot be told: they cannot be read');
      })
      .finally(() => {
        this.isReading = false;
      });
  }
}
