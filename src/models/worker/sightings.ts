import type { PlacementObservation } from '../../runners/runner.js';
import type { DeploymentState } from '../deployment/deployment-state.js';
import type { Placement } from '../deployment/placement.js';
import type { PlacementJournal } from '../deployment/placement-journal.js';
import type { Restarts } from './restarts.js';

interface SightingsHost {
  /** A call of the runner is under way, and what is missing on this GPU may be its doing. */
  readonly isDisturbed: (gpuId: number) => boolean;
  /** What served is to be brought back. */
  readonly onLost: () => void;
  /** The backend says that the placement serves. */
  readonly onReady: (gpuId: number) => void;
}

/** Brings the statuses of one deployment in line with what its backend says. */
export class Sightings {
  constructor(
    private readonly state: DeploymentState,
    private readonly journal: PlacementJournal,
    private readonly restarts: Restarts,
    private readonly host: SightingsHost,
  ) {}

  apply(observations: readonly PlacementObservation[]): void {
    if (observations.some(({ phase }) => phase === 'silent')) this.restarts.isSilent();
    else this.restarts.hasAnswered();
    const lost: [Placement, PlacementObservation][] = [];
    for (const observation of observations) {
      const placement = this.state.serving.get(observation.gpuId);
      if (!placement?.isActive) continue;
      if (observation.phase === 'unknown' || observation.phase === 'silent') {
        this.applyNoAnswer(placement, observation);
        continue;
      }
      placement.pid = observation.pid;
      placement.port = observation.port ?? placement.port;
      placement.serverName = observation.serverName;
      if (observation.phase === 'ready') this.applyReady(placement, observation);
      else if (placement.status === 'RUNNING' && !this.host.isDisturbed(placement.gpuId)) {
        lost.push([placement, observation]);
      }
    }
    if (lost.length > 0) this.bringBack(lost);
  }

  private applyReady(placement: Placement, { sleeping }: PlacementObservation): void {
    this.host.onReady(placement.gpuId);
    if (placement.status === 'STARTING') {
      this.restarts.isReady(placement.gpuId);
      this.journal.record(this.state, placement, 'ready', 'the backend says that the model is ready');
    }
    placement.sleeping = sleeping ?? placement.sleeping;
  }

  /** RUNNING is never hearsay: where nobody can tell, it ends. A silent server has its deadline first. */
  private applyNoAnswer(placement: Placement, { phase, reason }: PlacementObservation): void {
    if (this.host.isDisturbed(placement.gpuId)) return;
    if (placement.status === 'RUNNING' && phase === 'unknown') {
      const words = `nobody can tell whether the model serves: ${reason ?? 'no answer'}`;
      this.journal.record(this.state, placement, 'lost', words);
    }
    if (placement.status === 'STARTING') {
      placement.progress = `waiting for an answer: ${reason ?? 'none so far'}`;
    }
  }

  private bringBack(lost: readonly (readonly [Placement, PlacementObservation])[]): void {
    this.restarts.waitAnew();
    const absent = lost.find(([, { phase }]) => phase === 'absent');
    if (absent) {
      const gpuIds = lost.map(([{ gpuId }]) => gpuId);
      this.restarts.lost(absent[1].reason ?? 'the model is not there any more', gpuIds);
    }
    for (const [placement, { phase, reason }] of lost) {
      const words =
        phase === 'absent' ? 'the model is not there any more' : 'the backend starts the model anew';
      this.journal.record(this.state, placement, 'lost', reason ?? words);
    }
    this.host.onLost();
  }
}
