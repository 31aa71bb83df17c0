import { within } from '../../common/deadline.js';
import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../../common/clock.js';
import type { DeploymentOptions } from '../../runners/deployment.js';
import type { DesiredDeployment } from '../../state/desired-state.js';
import { DesiredStateStore } from '../../state/desired-state.store.js';
import type { DeploymentState } from '../deployment/deployment-state.js';
import { desiredOf } from '../deployment/desired-placement.js';
import type { DeploymentWorkers } from '../worker/deployment-workers.js';
import { notPlaced, StopTimeoutError } from '../deployment/errors.js';
import type { HeldGpu } from '../deployment/held-gpus.js';
import { Placement } from '../deployment/placement.js';
import { PlacementJournal } from '../deployment/placement-journal.js';

/** What a request says of a stop. */
export interface StopRequested {
  /** Left out: what the configuration says, and a stop under way goes on as it is. */
  readonly drainSeconds?: number | undefined;
  /** The server is ended by force, at once; other models it serves are lost with it, and brought back. */
  readonly force?: boolean | undefined;
  /** The GPU that is meant: what is gone may have the index of one that is there. Left out: whoever has the index now. */
  readonly gpuUuid?: string | undefined;
  /** Id of the request, for the log. */
  readonly request?: string | undefined;
}

/** Slack, ms, over the runner's own deadline before a waiting stop is answered. */
const STOP_ANSWER_SLACK_MS = 2000;

/** A start that has passed its checks. */
export interface StartPermitted {
  /** All that the placement is to hold, the GPU it is started on first. */
  readonly gpus: readonly HeldGpu[];
  readonly options: DeploymentOptions;
  /** Id of the request, for the log. */
  readonly request?: string | undefined;
}

/**
 * What makes a command accepted: it is on disk first, then in memory, and the workers are told. The caller holds the lock
 * of the deployment's records.
 */
@Injectable()
export class Acceptance {
  constructor(
    private readonly store: DesiredStateStore,
    private readonly journal: PlacementJournal,
    @Inject(Clock) private readonly clock: Clock,
  ) {}

  /** @throws StateWriteError; nothing has changed then */
  async start(workers: DeploymentWorkers, { gpus, options, request }: StartPermitted): Promise<Placement> {
    const { state } = workers;
    const gpuIds = gpus.map(({ id }) => id);
    const gpuId = state.numberFor(gpuIds);
    const now = this.clock.now();
    const failed = [...state.serving.values()].filter((placement) => placement.holdsAnyOf(gpuIds));
    const again = failed.find((each) => isSame(each, gpus) && !isAwaited(workers, each));
    const superseded = failed.filter((placement) => placement !== again);
    const toFollow = superseded.filter((each) => mustEndFirst(workers, each));
    const desired = state.toDesired();
    await this.store.put(state.modelName, {
      ...desired,
      options: { ...options },
      placements: [
        ...desired.placements.filter(
          ({ gpu_id: id, wanted }) => wanted === 'release' || !failed.some((each) => each.gpuId === id),
        ),
        ...toFollow.map((each) => desiredOf(each, 'release')),
        desiredOf({ gpuId, gpus }, 'serve'),
      ],
      ...(state.isEmpty && { created_at: now.toISOString() }),
      updated_at: now.toISOString(),
    });
    if (state.isEmpty) state.createdAt = now;
    state.options = options;
    for (const placement of superseded) {
      placement.history.cause = request;
      this.supersede(state, placement, toFollow.includes(placement));
    }
    const placement = again ?? new Placement(gpuId, gpus, now);
    const port = state.runner.expectedPort(state.modelName);
    placement.held.identify(gpus.map(({ uuid }) => uuid));
    placement.servedBy({ pid: null, port, serverName: null });
    placement.history.cause = request;
    const worker = workers.on(gpuId);
    worker.unit.serving.set(gpuId, placement);
    this.journal.record(state, placement, 'start', 'a start was accepted');
    for (const each of toFollow) if (workers.on(each.gpuId) !== worker) workers.on(each.gpuId).wake();
    worker.startAccepted();
    return placement;
  }

  /**
   * Returns the promise of its end inside an object, so that the lock is not held until then.
   * @throws NotPlacedError; StateWriteError where the state's directory is gone; nothing has changed then
   */
  async stop(
    workers: DeploymentWorkers,
    gpuId: number,
    asked: StopRequested,
  ): Promise<{ placement: Placement; done: Promise<Placement> }> {
    const { state } = workers;
    const wanted = state.servingOn(gpuId, asked.gpuUuid);
    const placement = wanted ?? state.releasingOn(gpuId, asked.gpuUuid);
    if (!placement) throw notPlaced(state.modelName, gpuId, asked.gpuUuid);
    const { gpuId: id } = placement;
    const worker = workers.on(id);
    const { serving, releasing } = worker.unit;
    const isFirst = !releasing.has(id);
    if (wanted || asked.force === true) placement.history.cause = asked.request;
    if (wanted) {
      await this.store.freeAll(new Map([[state.modelName, toRelease(state, wanted, this.clock.now())]]));
      serving.delete(id);
      if (isFirst) leave(releasing, wanted);
      else this.journal.record(state, wanted, 'released', 'stopped before its start had begun');
    }
    const done = workers.records.waiters.wait(id);
    const drainSeconds = asked.drainSeconds ?? (isFirst ? state.settings.drain_seconds : undefined);
    worker.stopAccepted(id, isFirst, {
      drainMs: drainSeconds === undefined ? undefined : drainSeconds * 1000,
      force: asked.force ?? false,
    });
    return { placement, done };
  }

  /** What failed on GPUs that another start takes: it goes, at once or when the backend has let go of it. */
  private supersede(state: DeploymentState, placement: Placement, mustEnd: boolean): void {
    const { serving, releasing } = state.unitOn(placement.gpuId);
    serving.delete(placement.gpuId);
    if (mustEnd) leave(releasing, placement);
    else this.journal.record(state, placement, 'released', 'a start took its GPU');
  }
}

function leave(releasing: Map<number, Placement>, placement: Placement): void {
  placement.leave();
  releasing.set(placement.gpuId, placement);
}

function isSame(placement: Placement, gpus: readonly HeldGpu[]): boolean {
  return (
    placement.held.missing.length === 0 &&
    placement.gpuIds.join() === gpus.map(({ id }) => id).join() &&
    placement.gpus.every(({ uuid }, at) => uuid === null || uuid === gpus[at]?.uuid)
  );
}

/** Somebody waits for the end of what failed: the start follows it. */
function isAwaited(workers: DeploymentWorkers, { gpuId }: Placement): boolean {
  return workers.records.waiters.has(gpuId);
}

function mustEndFirst(workers: DeploymentWorkers, placement: Placement): boolean {
  return placement.isUnclean || isAwaited(workers, placement);
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

/**
 * Waits until the backend has let go of a GPU.
 * @throws StopTimeoutError at the deadline: the stop goes on in the background; and what `done` rejects with
 */
export async function untilLetGo(
  workers: DeploymentWorkers,
  gpuId: number,
  done: Promise<Placement>,
): Promise<Placement> {
  const { modelName } = workers.state;
  const index = workers.on(gpuId).unit.indexOf(gpuId);
  const ms = workers.on(gpuId).stopLimitMs(gpuId) + STOP_ANSWER_SLACK_MS;
  const late = (): StopTimeoutError =>
    new StopTimeoutError(
      `${modelName} on GPU ${index} was not stopped within ${Math.ceil(ms / 1000)} s; the stop goes on. Its status tells when it is done.`,
      { modelName, gpuId: index },
    );
  return within({ ms, late }, () => done);
}
