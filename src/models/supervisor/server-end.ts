import { Inject, Injectable } from '@nestjs/common';
import type { MutexInterface } from 'async-mutex';
import { Clock } from '../../common/clock.js';
import type { DesiredDeployment, PlacementError } from '../../state/desired-state.js';
import { DesiredStateStore } from '../../state/desired-state.store.js';
import { EndedOverApiError } from '../deployment/errors.js';
import type { Placement } from '../deployment/placement.js';
import { toPlacementError } from '../deployment/placement-error.js';
import { PlacementJournal } from '../deployment/placement-journal.js';
import type { DeploymentWorkers } from '../worker/deployment-workers.js';
import { untilLetGo } from './acceptance.js';
import { Deployments } from './deployments.js';
import { serverNameOf } from './on-gpus.js';

/** Numbers of one deployment's placements on the server that is to end. */
interface Hit {
  readonly workers: DeploymentWorkers;
  /** They serve or start there, and go to ERROR. */
  readonly failed: readonly number[];
  /** Their stop is under way, and is completed. */
  readonly leaving: readonly number[];
}

/** A placement as people write it: `MAM@0`. */
type PlacementName = string;

/** The end of a server that somebody asked for by one of its processes: a stop by force of all that it serves. */
@Injectable()
export class ServerEnd {
  constructor(
    private readonly deployments: Deployments,
    private readonly store: DesiredStateStore,
    private readonly journal: PlacementJournal,
    @Inject(Clock) private readonly clock: Clock,
  ) {}

  /** What its end would hit: all that serves, starts or is being stopped there. */
  placementsOn(serverName: string): PlacementName[] {
    return this.hitsOf(serverName).flatMap(({ workers, failed, leaving }) =>
      namesOf(workers, [...failed, ...leaving]),
    );
  }

  /**
   * Ends the server by force. All its placements go to ERROR at once, on disk too, before anything is done to it, so that
   * nothing brings them back; what is being stopped there becomes STOPPED. Resolves when its processes are gone.
   * @param by who asked for it, for the error of the placements
   * @param request id of the request, for the log
   * @returns the placements that went to ERROR
   * @throws StateWriteError before anything was done, to any of them, where the state's directory is gone; StopTimeoutError and the runner's errors when it was
   * accepted and is not done: it goes on in the background
   */
  async run(serverName: string, by: string, request?: string): Promise<PlacementName[]> {
    const { hits, ends } = await this.locked(() => this.accept(serverName, by, request));
    const failure = (await Promise.allSettled(ends)).find((end) => end.status === 'rejected');
    if (failure) throw failure.reason;
    return hits.flatMap(({ workers, failed }) => namesOf(workers, failed));
  }

  /** Nothing else is accepted meanwhile, for any model. Whoever takes several locks takes them in this one order. */
  private async locked<T>(work: () => Promise<T>): Promise<T> {
    const releases: MutexInterface.Releaser[] = [];
    try {
      for (const { records } of this.deployments.all) releases.push(await records.lock.acquire());
      return await work();
    } finally {
      for (const release of releases) release();
    }
  }

  /** The promises of the ends are inside an object, so that the locks are not held until then. */
  private async accept(
    serverName: string,
    by: string,
    request: string | undefined,
  ): Promise<{ hits: readonly Hit[]; ends: readonly Promise<Placement>[] }> {
    const hits = this.hitsOf(serverName);
    const now = this.clock.now().toISOString();
    const words = `ended over the API by ${by}. It is not restarted: start it again, or stop it.`;
    const error = { ...toPlacementError(new EndedOverApiError(words)), at: now };
    const changes = hits
      .filter(({ failed }) => failed.length > 0)
      .map((hit) => [hit.workers.state.modelName, withFailed(hit, error, now)] as const);
    if (changes.length > 0) await this.store.freeAll(new Map(changes));
    for (const { workers, failed } of hits) {
      for (const gpuId of failed) {
        const placement = workers.state.serving.get(gpuId);
        if (!placement) continue;
        placement.history.cause = request;
        this.journal.record(workers.state, placement, 'failed', error.message, error);
        placement.cleanUp(true);
      }
    }
    // All are marked by now: the end of one model's server brings back none of the others.
    for (const { workers, failed, leaving } of hits) tell(workers, [...failed, ...leaving]);
    const ends = hits.flatMap(({ workers, failed, leaving }) =>
      [...failed, ...leaving].map((gpuId) => untilLetGo(workers, gpuId, workers.records.waiters.wait(gpuId))),
    );
    // Whoever waits hears of a failure; until then it is not unhandled.
    for (const end of ends) end.catch(() => undefined);
    return { hits, ends };
  }

  private hitsOf(serverName: string): Hit[] {
    return this.deployments.all
      .map((workers) => ({ workers, ...this.on(workers, serverName) }))
      .filter(({ failed, leaving }) => failed.length + leaving.length > 0);
  }

  /** A start that waits for a stop on the same GPU is not there yet, and goes on after it. */
  private on({ state }: DeploymentWorkers, serverName: string): Pick<Hit, 'failed' | 'leaving'> {
    const isThere = (placement: Placement): boolean => serverNameOf(state, placement) === serverName;
    const gpusOf = (placements: readonly Placement[]): number[] => placements.map(({ gpuId }) => gpuId);
    const { releasing } = state;
    const leaving = [...releasing.values()].filter((each) => !each.hasLetGo && isThere(each));
    const failed = state.active().filter((each) => !releasing.has(each.gpuId) && isThere(each));
    return { failed: gpusOf(failed), leaving: gpusOf(leaving) };
  }
}

/** Each unit hears of its own. */
function tell(workers: DeploymentWorkers, gpuIds: readonly number[]): void {
  for (const worker of new Set(gpuIds.map((gpuId) => workers.on(gpuId)))) {
    worker.endAccepted(gpuIds.filter((gpuId) => workers.on(gpuId) === worker));
  }
}

function withFailed({ workers, failed }: Hit, error: PlacementError, now: string): DesiredDeployment {
  const desired = workers.state.toDesired();
  return {
    ...desired,
    placements: desired.placements.map((entry) =>
      failed.includes(entry.gpu_id) ? { ...entry, wanted: 'failed', error } : entry,
    ),
    updated_at: now,
  };
}

function namesOf({ state }: DeploymentWorkers, gpuIds: readonly number[]): PlacementName[] {
  const indices = gpuIds.map((gpuId) => state.unitOn(gpuId).indexOf(gpuId));
  return indices.sort((a, b) => a - b).map((index) => `${state.modelName}@${index}`);
}
