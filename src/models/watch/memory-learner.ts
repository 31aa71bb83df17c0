import { type BeforeApplicationShutdown, Inject, Injectable } from '@nestjs/common';
import { Interval } from '@nestjs/schedule';
import { Clock } from '../../common/clock.js';
import { within } from '../../common/deadline.js';
import { LOGGER, type Logger } from '../../common/logging/logger.js';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/schema.js';
import type { DeploymentOptions } from '../../runners/deployment.js';
import { mayShareServer } from '../../runners/runner.js';
import { GpusService } from '../../gpus/gpus.service.js';
import { GpuMemoryStore } from '../../state/gpu-memory.store.js';
import { Supervisor } from '../supervisor/supervisor.js';
import { holdingsOf } from '../room/holdings.js';
import type { Occupant } from '../room/occupant.js';
import { ServerHistory } from './server-history.js';

const TICK_MS = 500;
/** Time, ms, of the driver to give a reading. */
const READING_TIMEOUT_MS = 3000;

/** A model on one of its GPUs. */
interface Held {
  readonly modelName: string;
  readonly options: DeploymentOptions;
  readonly gpuId: number;
  readonly gpuUuid?: string;
  readonly pid: number;
  /** Other models may be on the same server. */
  readonly mayShare: boolean;
}

/**
 * Looks now and then at what each server holds of a GPU, and has the peak kept. Only where it can be told: of a server
 * that has, or has had, several models on a GPU nobody knows which of them takes what.
 */
@Injectable()
export class MemoryLearner implements BeforeApplicationShutdown {
  private readonly history = new ServerHistory();
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
    if (seconds === 0 || !this.supervisor.isReady) return;
    this.history.note(onGpu(this.supervisor.occupants()));
    if (this.look || now < this.notBefore) return;
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
    await this.history.forgetEnded(before);
    const held = this.held();
    const samples = await within({ ms: READING_TIMEOUT_MS }, () => this.gpus.list());
    const holdings = await holdingsOf(samples, pids);
    for (const { modelName, options, pid, mayShare, ...gpu } of held) {
      // By this reading, whatever index it had before.
      const { id: gpuId } = samples.find(({ uuid }) => uuid !== null && uuid === gpu.gpuUuid) ?? {
        id: gpu.gpuId,
      };
      const memoryMiB = holdings.get(gpuId)?.heldByServer.get(pid);
      if (typeof memoryMiB !== 'number' || !isAlone({ modelName, pid, gpuId: gpu.gpuId }, before)) continue;
      if (await this.history.hadOneModel(pid, gpu, mayShare)) {
        this.store.learn(modelName, options, memoryMiB);
      }
    }
  }

  /** With the options as they are before the reading. */
  private held(): Held[] {
    return this.supervisor.deployments().flatMap((state) => {
      const { modelName, options, runner } = state;
      return state.active().flatMap(({ gpuId: id, held, pid }) => {
        if (pid === null) return [];
        const mayShare = mayShareServer(runner, modelName, id);
        return held.present.map(({ id: gpuId, uuid }) => ({
          ...{ modelName, options, gpuId, pid, mayShare },
          ...(uuid !== null && { gpuUuid: uuid }),
        }));
      });
    });
  }
}

/** It is on this GPU, and no other model of its server is. */
function isAlone(
  { modelName, pid, gpuId }: Pick<Held, 'modelName' | 'pid' | 'gpuId'>,
  occupants: readonly Occupant[],
): boolean {
  const there = onGpu(occupants).filter((each) => each.pid === pid && each.gpuId === gpuId);
  return there.length === 1 && there[0]?.modelName === modelName;
}

function onGpu(occupants: readonly Occupant[]): Occupant[] {
  return occupants.filter(({ offGpu }) => !offGpu);
}
