import { Inject, Injectable } from '@nestjs/common';
import { Interval } from '@nestjs/schedule';
import { Clock } from '../../common/clock.js';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/schema.js';
import { Supervisor } from '../supervisor/supervisor.js';

/** Finest interval the configuration can ask for, ms. */
const TICK_MS = 50;

/**
 * Has every backend asked what is true: at the fast interval while something starts or stops, slowly when all is
 * quiet. A tick only hands out probes and waits for none, so that ticks never overlap and one hung backend delays
 * nobody else; a deployment whose probe is still under way gets no second one.
 */
@Injectable()
export class HealthPoller {
  private polledAt = 0;

  constructor(
    private readonly supervisor: Supervisor,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  @Interval(TICK_MS)
  tick(): void {
    const now = this.clock.monotonicMs();
    const { fast_interval_ms: fast, slow_interval_ms: slow } = this.config.health;
    if (now - this.polledAt < (this.supervisor.isBusy ? fast : slow)) return;
    this.polledAt = now;
    this.supervisor.probeAll();
  }
}
