import type { PlacementObservation, Runner } from '../../runners/runner.js';
import type { DeploymentState } from '../deployment/deployment-state.js';
import type { Placement } from '../deployment/placement.js';
import type { StartSlot, StartSlots } from './start-slots.js';

/** When the servers of one deployment may start, where its backend measures free memory. */
export class StartTurn {
  constructor(
    private readonly state: DeploymentState,
    private readonly runner: Runner,
    private readonly slots: StartSlots,
  ) {
    // What an earlier run of this service has launched may be measuring now: until it was asked, nobody knows.
    this.note(state.active());
  }

  /** What comes up without a slot, from an earlier run of this service, holds its GPUs like one that has one. */
  observed(observations: readonly PlacementObservation[]): void {
    const starting = observations.filter(({ phase }) => phase === 'starting').map(({ gpuId }) => gpuId);
    this.note(this.state.active().filter(({ gpuId }) => starting.includes(gpuId)));
  }

  /** Resolves when no other start measures on these GPUs; they say who is waited for meanwhile. @throws the signal's reason */
  async take(placements: readonly Placement[], signal: AbortSignal): Promise<StartSlot | undefined> {
    if (!this.isNeeded) return undefined;
    const gpuIds = [...new Set(placements.flatMap((placement) => placement.gpuIds))];
    const tell = (words: string | undefined): void => {
      for (const placement of placements) placement.progress = words;
    };
    const slot = await this.slots.take({ modelName: this.state.modelName, gpuIds }, signal, tell);
    tell(undefined);
    return slot;
  }

  get isNeeded(): boolean {
    return this.runner.measuresFreeMemory(this.state.modelName);
  }

  private note(placements: readonly Placement[]): void {
    if (!this.isNeeded) return;
    this.slots.note(
      this.state.modelName,
      placements.flatMap(({ gpuIds }) => gpuIds),
    );
  }
}
