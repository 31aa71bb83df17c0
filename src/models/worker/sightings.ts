import type { PlacementObservation } from '../../runners/observation.js';
import type { Placement } from '../deployment/placement.js';
import type { PlacementJournal } from '../deployment/placement-journal.js';
import type { UnitState } from '../deployment/deployment-state.js';
import type { DeploymentRecords } from './deployment-records.js';
import type { Restarts } from './restarts.js';
import type { Steps } from './steps.js';
import type { WorkerServices } from './worker-services.js';

/** Brings the statuses of one unit in line with what its backend says. */
export class Sightings {
  constructor(
    private readonly unit: UnitState,
    private readonly journal: PlacementJournal,
    private readonly restarts: Restarts,
    private readonly steps: Steps,
    private readonly records: Pick<DeploymentRecords, 'note'>,
    private readonly services: Pick<WorkerServices, 'gpus' | 'drift'>,
  ) {}

  /** @param sinceMs when the look began, monotonic */
  apply(observations: readonly PlacementObservation[], sinceMs: number): void {
    if (observations.some(({ phase }) => phase === 'silent')) this.restarts.isSilent();
    else this.restarts.hasAnswered();
    const lost: [Placement, PlacementObservation][] = [];
    for (const observation of observations) {
      const placement = this.unit.serving.get(observation.gpuId);
      if (!placement?.isActive) continue;
      if (observation.phase === 'unknown' || observation.phase === 'silent') {
        this.applyNoAnswer(placement, observation);
        continue;
      }
      placement.servedBy(observation);
      this.identify(placement, observation);
      this.services.drift.seen(observation);
      if (observation.phase === 'ready') this.applyReady(placement, observation, sinceMs);
      else if (placement.status === 'RUNNING' && !this.steps.isActing) lost.push([placement, observation]);
      else if (placement.history.hasServedBefore) this.applyLostBefore(placement, observation);
    }
    if (lost.length > 0) this.bringBack(lost);
  }

  /** What an earlier version has written has no UUIDs: its server's labels tell, or the host as it is now. */
  private identify(placement: Placement, { gpuUuids = [] }: PlacementObservation): void {
    if (placement.gpus.every(({ uuid }) => uuid !== null)) return;
    const { lastSeen } = this.services.gpus;
    const byIndex = placement.gpuIds.map((id) => lastSeen.find((gpu) => gpu.id === id)?.uuid ?? null);
    if (!placement.held.identify(byIndex.map((uuid, at) => gpuUuids[at] ?? uuid))) return;
    if (lastSeen.length > 0) placement.held.locate(lastSeen);
    this.journal.touched();
  }

  private applyReady(placement: Placement, { sleeping }: PlacementObservation, sinceMs: number): void {
    this.restarts.wasReady(sinceMs);
    if (placement.status === 'STARTING') {
      this.restarts.isRunning(placement.gpuId);
      this.journal.record(
        this.unit.deployment,
        placement,
        'ready',
        'the backend says that the model is ready',
      );
      this.records.note();
    }
    if (sleeping !== undefined) placement.sleeps(sleeping);
  }

  /** RUNNING is never hearsay: where nobody can tell, it ends. A silent server has its deadline first. */
  private applyNoAnswer(placement: Placement, { phase, reason }: PlacementObservation): void {
    if (this.steps.isActing) return;
    if (placement.status === 'RUNNING' && phase === 'unknown') {
      const words = `nobody can tell whether the model serves: ${reason ?? 'no answer'}`;
      this.journal.record(this.unit.deployment, placement, 'lost', words);
      this.records.note();
    }
    // Whoever waits for a turn says for which.
    if (placement.status === 'STARTING' && this.steps.current === undefined) {
      placement.tell(`waiting for an answer: ${reason ?? 'none so far'}`);
    }
  }

  /** It served when the last run of this service ended, and its server has ended since. */
  private applyLostBefore(placement: Placement, { phase, reason, lastLines }: PlacementObservation): void {
    if (phase !== 'absent' || lastLines === undefined || this.steps.isActing) return;
    const words = reason ?? 'its server has ended';
    this.journal.crashed(this.unit.deployment, placement, words, lastLines);
    this.records.note();
  }

  private bringBack(lost: readonly (readonly [Placement, PlacementObservation])[]): void {
    this.restarts.waitAnew();
    const purpose = this.restarts.purposeOfEnd;
    const absent = lost.find(([, { phase }]) => phase === 'absent');
    if (absent) {
      const gpuIds = lost.map(([{ gpuId }]) => gpuId);
      this.restarts.lost(absent[1].reason ?? 'the model is not there any more', gpuIds);
    }
    const { deployment } = this.unit;
    for (const [placement, { phase, reason, lastLines = [] }] of lost) {
      if (purpose !== undefined) this.journal.record(deployment, placement, 'lost', purpose);
      else if (phase === 'absent')
        this.journal.crashed(deployment, placement, reason ?? 'the model is not there any more', lastLines);
      else this.journal.record(deployment, placement, 'lost', reason ?? 'the backend starts the model anew');
    }
    this.records.note();
    // The turn that is waited for is for what was missing when the wait began.
    if (this.steps.current === 'wait') this.steps.interrupt();
  }
}
