import { type BeforeApplicationShutdown, Inject, Injectable } from '@nestjs/common';
import { Interval } from '@nestjs/schedule';
import { Clock } from '../../common/clock.js';
import { deadline, orAborted } from '../../common/deadline.js';
import { LOGGER, type Logger } from '../../common/logging/logger.js';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/schema.js';
import { GpusService } from '../../gpus/gpus.service.js';
import { GpuMemoryStore } from '../../state/gpu-memory.store.js';
import { Supervisor } from '../supervisor.js';
import { holdingsOf } from './holdings.js';
import type { Occupant } from './occupant.js';

const TICK_MS = 500;
/** Time, ms, of the driver to give a reading. */
const READING_TIMEOUT_MS = 3000;

/**
 * Looks now and then at what each server holds of a GPU, and has the peak kept. Only where it can be told: of a server
 * that has several placements on a GPU nobody knows which of them takes what.
 */
@Injectable()
export class MemoryLearner implements BeforeApplicationShutdown {
  private look: Promise<void> | undefined;
  private notBefore = 0;

  constructor(
    private readonly supervisor: Supervisor,
    private readonly gpus: GpusService,
    private readonly store: GpuMemoryStore,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Waits for nothing; one look at a time. */
  @Interval(TICK_MS)
  tick(): void {
    const { learn_interval_seconds: seconds } = this.config.gpus;
    const now = this.clock.monotonicMs();
    if (seconds === 0 || this.look || now < this.notBefore || !this.supervisor.isReady) return;
    this.notBefore = now + seconds * 1000;
    this.look = this.learn()
      .catch((error: unknown) => {
        this.logger.debug({ err: error }, 'What models take of GPU memory cannot be seen');
      })
      .finally(() => {
        this.look = undefined;
      });
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.look;
    await this.store.settled();
  }

  private async learn(): Promise<void> {
    const before = this.supervisor.occupants();
    const pids = new Set(before.flatMap(({ pid }) => (pid === null ? [] : [pid])));
    if (pids.size === 0) return;
    const samples = await orAborted(this.gpus.list(), deadline(READING_TIMEOUT_MS));
    const holdings = await holdingsOf(samples, pids);
    for (const state of this.supervisor.deployments()) {
      for (const { gpuId, pid } of state.active()) {
        if (pid === null || !isAlone(pid, gpuId, before)) continue;
        const held = holdings.get(gpuId)?.heldByServer.get(pid);
        if (typeof held === 'number') this.store.learn(state.modelName, state.options, held);
      }
    }
  }
}

function isAlone(pid: number, gpuId: number, occupants: readonly Occupant[]): boolean {
  return occupants.filter((each) => each.pid === pid && each.gpuId === gpuId).length === 1;
}
