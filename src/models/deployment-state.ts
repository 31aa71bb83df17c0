import type { Deployment, DeploymentOptions } from '../runners/runner.js';
import type { DesiredDeployment } from '../state/desired-state.js';
import { Placement } from './placement.js';

/**
 * One model's placements in memory. A GPU can be in `serving` and in `releasing` at once: a start that was accepted
 * while a stop is under way is carried out after it.
 */
export class DeploymentState {
  readonly serving = new Map<number, Placement>();
  readonly releasing = new Map<number, Placement>();
  updatedAt: Date;

  constructor(
    readonly modelName: string,
    readonly backend: string,
    public options: DeploymentOptions,
    public createdAt: Date,
  ) {
    this.updatedAt = createdAt;
  }

  get isEmpty(): boolean {
    return this.serving.size === 0 && this.releasing.size === 0;
  }

  /** What a caller sees: one placement per GPU, by GPU; what is wanted hides what is being released. */
  visible(): Placement[] {
    return [...new Map([...this.releasing, ...this.serving]).values()].sort((a, b) => a.gpuId - b.gpuId);
  }

  active(): Placement[] {
    return [...this.serving.values()].filter((placement) => placement.isActive);
  }

  /** What the backend is to hold now: what is to serve, and what drains. */
  wanted(): Deployment {
    const draining = [...this.releasing.values()].filter((placement) => placement.isDraining);
    return this.deploymentOn([...this.servable(), ...draining]);
  }

  /** What is to serve now; a GPU that is being released counts again when that is done. */
  toServe(): Deployment {
    return this.deploymentOn(this.servable());
  }

  /** What serves, and goes on when all that is being released is gone. */
  staying(): Deployment {
    return this.deploymentOn(this.servable().filter((placement) => placement.status === 'RUNNING'));
  }

  /** GPUs the backend has to let go of now: accepted stops that do not drain, and what failed. */
  toRelease(): number[] {
    const failed = [...this.serving.values()].filter((placement) => placement.needsRelease);
    const stopped = [...this.releasing.values()].filter((placement) => !placement.isDraining);
    return [...new Set([...stopped, ...failed].map((placement) => placement.gpuId))];
  }

  private servable(): Placement[] {
    return this.active().filter((placement) => !this.releasing.has(placement.gpuId));
  }

  private deploymentOn(placements: readonly Placement[]): Deployment {
    const gpuIds = placements.map((placement) => placement.gpuId).sort((a, b) => a - b);
    return { modelName: this.modelName, gpuIds, options: this.options };
  }

  toDesired(): DesiredDeployment {
    return {
      model_name: this.modelName,
      model_type: this.backend,
      options: { ...this.options },
      placements: [
        ...[...this.releasing.keys()].map((gpuId) => ({ gpu_id: gpuId, wanted: 'release' as const })),
        ...[...this.serving.values()].map((placement) =>
          placement.status === 'ERROR'
            ? {
                gpu_id: placement.gpuId,
                wanted: 'failed' as const,
                ...(placement.error && { error: placement.error }),
              }
            : { gpu_id: placement.gpuId, wanted: 'serve' as const },
        ),
      ],
      created_at: this.createdAt.toISOString(),
      updated_at: this.updatedAt.toISOString(),
    };
  }

  /** As it was left by the last run; what was wanted is STARTING until the backend has been asked. */
  static restore(desired: DesiredDeployment): DeploymentState {
    const state = new DeploymentState(
      desired.model_name,
      desired.model_type,
      desired.options,
      new Date(desired.created_at),
    );
    state.updatedAt = new Date(desired.updated_at);
    for (const { gpu_id: gpuId, wanted, error } of desired.placements) {
      const placement = new Placement(gpuId, state.createdAt);
      placement.apply('start', state.updatedAt);
      if (wanted === 'failed') {
        placement.apply('failed', state.updatedAt, error);
        placement.needsRelease = true;
      }
      (wanted === 'release' ? state.releasing : state.serving).set(gpuId, placement);
    }
    return state;
  }
}
