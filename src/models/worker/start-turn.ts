import type { PlacementObservation } from '../../runners/observation.js';
import type { Runner } from '../../runners/runner.js';
import type { Placement } from '../deployment/placement.js';
import type { UnitState } from '../deployment/deployment-state.js';
import type { StartSlot, StartSlots } from './start-slots.js';

/** When the servers of one unit may start, where its backend measures free memory. */
export class StartTurn {
  private slot: StartSlot | undefined;
  private hasEnded = false;

  constructor(
    private readonly unit: UnitState,
    private readonly runner: Runner,
    private readonly slots: StartSlots,
  ) {
    // What an earlier run of this service has launched may be measuring now: until it was asked, nobody knows.
    this.note(unit.active());
  }

  /**
   * What comes up without a slot, from an earlier run of this service, holds its GPUs like one that has one. The slot of a
   * start that has ended is given back with this look, not before: a server may still come up though its start was
   * interrupted.
   */
  observed(observations: readonly PlacementObservation[]): void {
    const starting = observations.filter(({ phase }) => phase === 'starting').map(({ gpuId }) => gpuId);
    this.note(this.unit.active().filter(({ gpuId }) => starting.includes(gpuId)));
    if (this.hasEnded && this.unit.toRelease().length === 0) this.giveBack();
  }

  /** The start that the slot was taken for has ended; the next look tells what it has left. */
  ended(): void {
    this.hasEnded = true;
  }

  /**
   * Resolves when no other start measures on these GPUs; the placements say who is waited for meanwhile.
   * @throws the signal's reason
   */
  async take(placements: readonly Placement[], signal: AbortSignal): Promise<void> {
    this.hasEnded = false;
    if (!this.isNeeded || this.slot) return;
    const gpuIds = [...new Set(placements.flatMap((placement) => placement.gpuIds))];
    const tell = (words: string | undefined): void => {
      for (const placement of placements) placement.tell(words);
    };
    const { modelName, name } = this.unit;
    this.slot = await this.slots.take({ modelName, unit: name, gpuIds }, signal, tell);
    tell(undefined);
  }

  /** Nothing of a start that has ended is left, or its end was tried. */
  giveBack(): void {
    this.slot?.release();
    this.slot = undefined;
  }

  private get isNeeded(): boolean {
    return this.runner.measuresFreeMemory(this.unit.modelName);
  }

  private note(placements: readonly Placement[]): void {
    if (!this.isNeeded) return;
    this.slots.note(
      { modelName: this.unit.modelName, unit: this.unit.name },
      placements.flatMap(({ gpuIds }) => gpuIds),
    );
  }
}
