import { deadline, orAborted } from '../../common/deadline.js';
import type { Clock } from '../../common/clock.js';
import type { DeploymentOptions } from '../../runners/runner.js';
import type { DesiredDeployment } from '../../state/desired-state.js';
import type { DesiredStateStore } from '../../state/desired-state.store.js';
import type { Catalog } from '../deployment/catalog.js';
import { type DeploymentState, desiredOf } from '../deployment/deployment-state.js';
import type { DeploymentWorker } from '../worker/deployment-worker.js';
import { notPlaced, StopTimeoutError } from '../deployment/errors.js';
import { Placement } from '../deployment/placement.js';
import type { PlacementJournal } from '../deployment/placement-journal.js';

/** What a request says of a stop. */
export interface StopRequested {
  /** Left out: what the configuration says, and a stop under way goes on as it is. */
  readonly drainSeconds?: number | undefined;
  /** The server is ended by force, at once; other models it serves are lost with it, and brought back. */
  readonly force?: boolean | undefined;
}

/** A start that has passed its checks. */
export interface StartPermitted {
  readonly gpuId: number;
  /** All that the placement is to hold. */
  readonly gpuIds: readonly number[];
  readonly options: DeploymentOptions;
}

interface AcceptanceContext {
  readonly catalog: Catalog;
  readonly store: DesiredStateStore;
  readonly journal: PlacementJournal;
  readonly clock: Clock;
}

/**
 * What makes a command accepted: it is on disk first, then in memory, and the worker is told. The caller holds the lock
 * of the deployment's records.
 */
export class Acceptance {
  constructor(private readonly context: AcceptanceContext) {}

  /** @throws StateWriteError; nothing has changed then */
  async start(worker: DeploymentWorker, { gpuId, gpuIds, options }: StartPermitted): Promise<Placement> {
    const { state } = worker;
    const now = this.context.clock.now();
    const failed = [...state.serving.values()].filter((placement) => placement.holdsAnyOf(gpuIds));
    const again = failed.find((each) => isSame(each, gpuId, gpuIds) && !isAwaited(worker, each));
    const superseded = failed.filter((placement) => placement !== again);
    const toFollow = superseded.filter((each) => mustEndFirst(worker, each));
    const desired = state.toDesired();
    await this.context.store.put(state.modelName, {
      ...desired,
      options: { ...options },
      placements: [
        ...desired.placements.filter(
          ({ gpu_id: id, wanted }) => wanted === 'release' || !failed.some((each) => each.gpuId === id),
        ),
        ...toFollow.map((each) => desiredOf(each, 'release')),
        desiredOf({ gpuId, gpuIds }, 'serve'),
      ],
      ...(state.isEmpty && { created_at: now.toISOString() }),
      updated_at: now.toISOString(),
    });
    if (state.isEmpty) state.createdAt = now;
    state.options = options;
    for (const placement of superseded) this.supersede(state, placement, toFollow.includes(placement));
    const placement = again ?? new Placement(gpuId, gpuIds, now);
    placement.needsRelease = false;
    placement.port = this.context.catalog.find(state.modelName)?.expectedPort(state.modelName) ?? null;
    state.serving.set(gpuId, placement);
    this.context.journal.record(state, placement, 'start', 'a start was accepted');
    worker.startAccepted();
    return placement;
  }

  /**
   * Returns the promise of its end inside an object, so that the lock is not held until then.
   * @throws NotPlacedError, StateWriteError; nothing has changed then
   */
  async stop(
    worker: DeploymentWorker,
    gpuId: number,
    asked: StopRequested,
  ): Promise<{ placement: Placement; done: Promise<Placement> }> {
    const { state } = worker;
    const wanted = state.servingOn(gpuId);
    const placement = wanted ?? state.releasingOn(gpuId);
    if (!placement) throw notPlaced(state.modelName, gpuId);
    const { gpuId: id } = placement;
    const isFirst = !state.releasing.has(id);
    if (wanted) {
      await this.context.store.put(state.modelName, toRelease(state, wanted, this.context.clock.now()));
      state.serving.delete(id);
      if (isFirst) state.releasing.set(id, wanted);
      else this.context.journal.record(state, wanted, 'released', 'stopped before its start had begun');
    }
    const done = worker.records.waiters.wait(id);
    const configured = isFirst
      ? this.context.catalog.find(state.modelName)?.drainSeconds(state.modelName)
      : undefined;
    const drainSeconds = asked.drainSeconds ?? configured;
    worker.stopAccepted(id, isFirst, {
      drainMs: drainSeconds === undefined ? undefined : drainSeconds * 1000,
      force: asked.force ?? false,
    });
    return { placement, done };
  }

  /** What failed on GPUs that another start takes: it goes, at once or when the backend has let go of it. */
  private supersede(state: DeploymentState, placement: Placement, mustEnd: boolean): void {
    state.serving.delete(placement.gpuId);
    if (mustEnd) state.releasing.set(placement.gpuId, placement);
    else this.context.journal.record(state, placement, 'released', 'a start took its GPU');
  }
}

function isSame(placement: Placement, gpuId: number, gpuIds: readonly number[]): boolean {
  return placement.gpuId === gpuId && placement.gpuIds.join() === gpuIds.join();
}

/** Somebody waits for the end of what failed: the start follows it. */
function isAwaited(worker: DeploymentWorker, { gpuId }: Placement): boolean {
  return worker.records.waiters.has(gpuId);
}

function mustEndFirst(worker: DeploymentWorker, placement: Placement): boolean {
  return placement.needsRelease || isAwaited(worker, placement);
}

function toRelease(state: DeploymentState, placement: Placement, now: Date): DesiredDeployment {
  const desired = state.toDesired();
  return {
    ...desired,
    placements: [
      ...desired.placements.filter((entry) => entry.gpu_id !== placement.gpuId),
      desiredOf(placement, 'release'),
    ],
    updated_at: now.toISOString(),
  };
}

/** Slack, ms, over the runner's own deadline before a waiting stop is answered. */
const STOP_ANSWER_SLACK_MS = 2000;

/**
 * Waits until the backend has let go of a GPU.
 * @throws StopTimeoutError at the deadline: the stop goes on in the background; and what `done` rejects with
 */
export async function untilLetGo(
  worker: DeploymentWorker,
  gpuId: number,
  done: Promise<Placement>,
): Promise<Placement> {
  const { modelName } = worker.state;
  const limitMs = worker.stopLimitMs(gpuId) + STOP_ANSWER_SLACK_MS;
  const limit = deadline(limitMs);
  return orAborted(done, limit).catch((error: unknown) => {
    if (error !== limit.reason) throw error;
    throw new StopTimeoutError(
      `${modelName} on GPU ${gpuId} was not stopped within ${Math.ceil(limitMs / 1000)} s; the stop goes on. Its status tells when it is done.`,
      { modelName, gpuId },
    );
  });
}
