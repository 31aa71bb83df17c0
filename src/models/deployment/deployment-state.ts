import type { Deployment, DeploymentOptions, Runner } from '../../runners/runner.js';
import type { DesiredDeployment, DesiredPlacement } from '../../state/desired-state.js';
import { Placement } from './placement.js';

/** A GPU, and the placement that holds it. */
export interface HeldGpu {
  readonly gpuId: number;
  readonly placement: Placement;
}

/**
 * One model's placements in memory, by the GPU that each was started on. A GPU can be held in `serving` and in
 * `releasing` at once: a start that was accepted while a stop is under way is carried out after it.
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

  /** What a caller sees: every GPU that is held, by GPU; what is wanted hides what is being released. */
  visible(): HeldGpu[] {
    const held = [...this.releasing.values(), ...this.serving.values()].flatMap((placement) =>
      placement.gpuIds.map((gpuId) => [gpuId, placement] as const),
    );
    return [...new Map(held)]
      .map(([gpuId, placement]) => ({ gpuId, placement }))
      .sort((a, b) => a.gpuId - b.gpuId);
  }

  /** The placement that is wanted on this GPU, ERROR included. */
  servingOn(gpuId: number): Placement | undefined {
    return holderOf(gpuId, this.serving);
  }

  /** The placement that is letting go of this GPU. */
  releasingOn(gpuId: number): Placement | undefined {
    return holderOf(gpuId, this.releasing);
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
    const leaving = [...this.releasing.values()].flatMap(({ gpuIds }) => gpuIds);
    return this.active().filter((placement) => !placement.holdsAnyOf(leaving));
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
        ...[...this.releasing.values()].map((placement) => desiredOf(placement, 'release')),
        ...[...this.serving.values()].map((placement) =>
          placement.status === 'ERROR'
            ? { ...desiredOf(placement, 'failed'), ...(placement.error && { error: placement.error }) }
            : desiredOf(placement, 'serve'),
        ),
      ],
      created_at: this.createdAt.toISOString(),
      updated_at: this.updatedAt.toISOString(),
    };
  }

  /** As it was left by the last run; what was wanted is STARTING until the backend has been asked. */
  static restore(
    desired: DesiredDeployment,
    options: DeploymentOptions,
    runner: Pick<Runner, 'gpusOf'>,
  ): DeploymentState {
    const state = new DeploymentState(
      desired.model_name,
      desired.model_type,
      options,
      new Date(desired.created_at),
    );
    state.updatedAt = new Date(desired.updated_at);
    for (const { gpu_id: gpuId, gpu_ids: gpuIds, wanted, error } of desired.placements) {
      const placement = new Placement(gpuId, gpuIds ?? runner.gpusOf(gpuId, options), state.createdAt);
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

/** What of a placement is kept on disk. */
export function desiredOf(
  { gpuId, gpuIds }: Pick<Placement, 'gpuId' | 'gpuIds'>,
  wanted: DesiredPlacement['wanted'],
): DesiredPlacement {
  return { gpu_id: gpuId, ...(gpuIds.length > 1 && { gpu_ids: [...gpuIds] }), wanted };
}

function holderOf(gpuId: number, placements: ReadonlyMap<number, Placement>): Placement | undefined {
  return placements.get(gpuId) ?? [...placements.values()].find((placement) => placement.holds(gpuId));
}
