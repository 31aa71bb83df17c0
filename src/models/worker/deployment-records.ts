import { Mutex } from 'async-mutex';
import type { DeploymentState } from '../deployment/deployment-state.js';
import type { Placement } from '../deployment/placement.js';
import { toPlacementError } from '../deployment/placement-error.js';
import { ReleaseWaiters } from './release-waiters.js';
import type { WorkerServices } from './worker-services.js';

/** How the steps of one deployment ended: in its placements, on disk, and to those who wait for a stop. */
export class DeploymentRecords {
  /** Guards what is wanted, in memory and on disk: a command or the end of a step, one after another. */
  readonly lock = new Mutex();
  readonly waiters = new ReleaseWaiters();
  private isNoteDue = false;

  constructor(
    private readonly state: DeploymentState,
    private readonly services: Pick<WorkerServices, 'store' | 'journal' | 'logger'>,
    /** GPUs have become free: a start of another unit may have waited for them. */
    private readonly onReleased: () => void,
  ) {}

  /** Those of `placements` that are still wanted and do not serve are in ERROR from here on, and are cleaned up. */
  async failed(placements: readonly Placement[], error: unknown): Promise<void> {
    await this.lock.runExclusive(async () => {
      const failure = toPlacementError(error);
      for (const placement of placements) {
        const isWanted = this.state.serving.get(placement.gpuId) === placement;
        if (!isWanted || placement.status !== 'STARTING') continue;
        this.services.journal.record(this.state, placement, 'failed', failure.message, failure);
        placement.cleanUp(true);
      }
      await this.persist();
    });
  }

  /** Their GPUs are not on the host any more, or are bad: those that are still wanted are in ERROR, and are cleaned up. */
  async lostTheirGpus(placements: readonly Placement[], error: unknown): Promise<void> {
    await this.lock.runExclusive(async () => {
      const failure = toPlacementError(error);
      const hit = placements.filter((each) => each.isActive && this.state.serving.get(each.gpuId) === each);
      for (const placement of hit) {
        this.services.journal.record(this.state, placement, 'failed', failure.message, failure);
        placement.cleanUp(true);
      }
      if (hit.length > 0) await this.persist();
    });
  }

  /** Writes what is known by now of the GPUs. */
  async save(): Promise<void> {
    await this.lock.runExclusive(() => this.persist());
  }

  /** The backend has let go of these GPUs. */
  async released(gpuIds: readonly number[]): Promise<void> {
    await this.lock.runExclusive(async () => {
      const done: Placement[] = [];
      for (const gpuId of gpuIds) {
        const failed = this.state.serving.get(gpuId);
        failed?.cleanUp(false);
        const placement = this.state.releasing.get(gpuId);
        if (!placement) {
          if (failed) done.push(failed);
          continue;
        }
        this.state.unitOn(gpuId).releasing.delete(gpuId);
        this.services.journal.record(this.state, placement, 'released', 'the backend has let go');
        done.push(placement);
      }
      // What is on disk still says "release": after a crash the release is done once more, and finds nothing.
      await this.persist();
      for (const placement of done) this.waiters.resolve(placement);
      this.onReleased();
    });
  }

  /** The backend did not let go of these GPUs; whoever waits for it is told. */
  async releaseFailed(gpuIds: readonly number[], error: unknown): Promise<void> {
    const failure = toPlacementError(error);
    const stopping = gpuIds.flatMap((gpuId) => this.state.releasing.get(gpuId) ?? []);
    // A start that was accepted to follow the stop cannot follow it.
    const following = [...this.state.serving.values()].filter((each) =>
      stopping.some(({ gpuIds: held }) => each.holdsAnyOf(held)),
    );
    await this.lock.runExclusive(async () => {
      for (const placement of [...stopping, ...following.filter((each) => each.isActive)]) {
        this.services.journal.record(this.state, placement, 'failed', failure.message, failure);
      }
      for (const gpuId of gpuIds) this.waiters.reject(gpuId, error);
      await this.persist();
    });
  }

  /** A status has changed by itself: the next run of the service is to know since when. Never waits. */
  note(): void {
    if (this.isNoteDue) return;
    this.isNoteDue = true;
    void this.lock.runExclusive(async () => {
      this.isNoteDue = false;
      await this.persist();
    });
  }

  private async persist(): Promise<void> {
    const { state } = this;
    const desired = state.isEmpty ? undefined : state.toDesired();
    const error = await this.services.store.keepAll(new Map([[state.modelName, desired]]));
    if (error) {
      this.services.logger.error(
        { err: error, model_name: state.modelName },
        'The state could not be written',
      );
    }
  }
}
