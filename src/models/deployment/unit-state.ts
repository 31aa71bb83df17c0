import type { Deployment } from '../../runners/runner.js';
import type { DeploymentState } from './deployment-state.js';
import type { Placement } from './placement.js';

/**
 * The placements of one unit (`Runner.unitOf`), by the GPU that each was started on. A GPU can be held in `serving` and in
 * `releasing` at once: a start that was accepted while a stop is under way is carried out after it.
 */
export class UnitState {
  readonly serving = new Map<number, Placement>();
  readonly releasing = new Map<number, Placement>();

  constructor(
    /** By `Runner.unitOf`; no two units of a backend have the same. */
    readonly name: string,
    readonly deployment: DeploymentState,
  ) {}

  get modelName(): string {
    return this.deployment.modelName;
  }

  get isEmpty(): boolean {
    return this.serving.size === 0 && this.releasing.size === 0;
  }

  /** What runs or starts, and is not being stopped. */
  active(): Placement[] {
    return [...this.serving.values()].filter((placement) => placement.isActive);
  }

  /** What the backend is to hold now: what is to serve, and what drains. */
  wanted(): Deployment {
    const draining = [...this.releasing.values()].filter((placement) => placement.isDraining);
    return this.deploymentOf([...this.servable(), ...draining]);
  }

  /** What is to serve now; a GPU that is being released counts again when that is done. */
  toServe(): Deployment {
    return this.deploymentOf(this.servable());
  }

  /** What serves, and goes on when all that is being released is gone. */
  staying(): Deployment {
    return this.deploymentOf(this.servable().filter((placement) => placement.status === 'RUNNING'));
  }

  /** GPUs the backend has to let go of now: accepted stops that do not drain, and what failed. */
  toRelease(): number[] {
    const failed = [...this.serving.values()].filter((placement) => placement.isUnclean);
    const stopped = [...this.releasing.values()].filter((placement) => !placement.isDraining);
    return [...new Set([...stopped, ...failed].map((placement) => placement.gpuId))];
  }

  /** GPUs that hold something of it: what serves, starts, drains, or is not cleaned up yet. */
  occupied(): number[] {
    const active = this.active().map(({ gpuId }) => gpuId);
    return [...new Set([...active, ...this.releasing.keys(), ...this.toRelease()])];
  }

  /** Of several units of a model, one may be to get GPUs that another has to give back first. */
  private servable(): Placement[] {
    const leaving = this.deployment.leavingGpus();
    return this.active().filter((placement) => !placement.holdsAnyOf(leaving));
  }

  private deploymentOf(placements: readonly Placement[]): Deployment {
    const gpuIds = placements.map((placement) => placement.gpuId).sort((a, b) => a - b);
    return { modelName: this.modelName, gpuIds, options: this.deployment.options };
  }
}
