import type { Clock } from '../../common/clock.js';
import type { DesiredStateStore } from '../../state/desired-state.store.js';
import type { DeploymentWorker } from '../worker/deployment-worker.js';
import { EndedOverApiError } from '../deployment/errors.js';
import type { Placement } from '../deployment/placement.js';
import { toPlacementError } from '../deployment/placement.js';
import type { PlacementJournal } from '../deployment/placement-journal.js';
import { untilLetGo } from './acceptance.js';

interface ServerEndContext {
  readonly workers: () => readonly DeploymentWorker[];
  readonly store: DesiredStateStore;
  readonly journal: PlacementJournal;
  readonly clock: Clock;
  /** Name of the server that serves, or will serve, a placement. */
  readonly serverNameOf: (worker: DeploymentWorker, placement: Placement) => string | null;
}

/** Placements of one deployment on the server that is to end. */
interface Hit {
  readonly worker: DeploymentWorker;
  /** They serve or start there, and go to ERROR. */
  readonly failed: readonly number[];
  /** Their stop is under way, and is completed. */
  readonly leaving: readonly number[];
  readonly done: readonly Promise<Placement>[];
}

/** A placement as people write it: `MAM@0`. */
type PlacementName = string;

/** The end of a server that somebody asked for by one of its processes: a stop by force of all that it serves. */
export class ServerEnd {
  constructor(private readonly context: ServerEndContext) {}

  /** What its end would hit: all that serves, starts or is being stopped there. */
  placementsOn(serverName: string): PlacementName[] {
    return this.context.workers().flatMap((worker) => {
      const { failed, leaving } = this.on(worker, serverName);
      return namesOf(worker, [...failed, ...leaving]);
    });
  }

  /**
   * Ends the server by force. Its placements go to ERROR, on disk too, before anything is done to it, so that nothing
   * brings them back; what is being stopped there becomes STOPPED. Resolves when its processes are gone.
   * @param by who asked for it, for the error of the placements
   * @returns the placements that went to ERROR
   * @throws StateWriteError before anything was done; StopTimeoutError and the runner's errors when it was accepted and
   * is not done: it goes on in the background
   */
  async run(serverName: string, by: string): Promise<PlacementName[]> {
    const hits: Hit[] = [];
    for (const worker of this.context.workers()) {
      hits.push(await worker.records.lock.runExclusive(() => this.accept(worker, serverName, by)));
    }
    // All are marked by now: the end of one model's server brings back none of the others.
    for (const { worker, failed, leaving } of hits) {
      if (failed.length + leaving.length > 0) worker.endAccepted([...failed, ...leaving]);
    }
    const ends = hits.flatMap(({ worker, failed, leaving, done }) =>
      [...failed, ...leaving].map((gpuId, index) =>
        untilLetGo(worker, gpuId, done[index] ?? Promise.reject(new Error('nobody waits for it'))),
      ),
    );
    const failure = (await Promise.allSettled(ends)).find((end) => end.status === 'rejected');
    if (failure) throw failure.reason;
    return hits.flatMap(({ worker, failed }) => namesOf(worker, failed));
  }

  private async accept(worker: DeploymentWorker, serverName: string, by: string): Promise<Hit> {
    const { state } = worker;
    const { failed, leaving } = this.on(worker, serverName);
    const error = toPlacementError(
      new EndedOverApiError(`ended over the API by ${by}. It is not restarted: start it again, or stop it.`),
    );
    if (failed.length > 0) {
      const desired = state.toDesired();
      await this.context.store.put(state.modelName, {
        ...desired,
        placements: desired.placements.map((entry) =>
          failed.includes(entry.gpu_id) ? { ...entry, wanted: 'failed', error } : entry,
        ),
        updated_at: this.context.clock.now().toISOString(),
      });
    }
    for (const gpuId of failed) {
      const placement = state.serving.get(gpuId);
      if (!placement) continue;
      placement.needsRelease = true;
      this.context.journal.record(state, placement, 'failed', error.message, error);
    }
    const done = [...failed, ...leaving].map((gpuId) => worker.records.waiters.wait(gpuId));
    // Whoever waits hears of a failure; until then it is not unhandled.
    for (const each of done) each.catch(() => undefined);
    return { worker, failed, leaving, done };
  }

  /** A start that waits for a stop on the same GPU is not there yet, and goes on after it. */
  private on(worker: DeploymentWorker, serverName: string): Pick<Hit, 'failed' | 'leaving'> {
    const { state } = worker;
    const isThere = (placement: Placement): boolean =>
      this.context.serverNameOf(worker, placement) === serverName;
    const gpusOf = (placements: readonly Placement[]): number[] => placements.map(({ gpuId }) => gpuId);
    const leaving = [...state.releasing.values()].filter((each) => !each.hasLetGo && isThere(each));
    const failed = state.active().filter((each) => !state.releasing.has(each.gpuId) && isThere(each));
    return { failed: gpusOf(failed), leaving: gpusOf(leaving) };
  }
}

function namesOf(worker: DeploymentWorker, gpuIds: readonly number[]): PlacementName[] {
  return [...gpuIds].sort((a, b) => a - b).map((gpuId) => `${worker.state.modelName}@${gpuId}`);
}
