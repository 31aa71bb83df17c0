import type { Deployment, DeploymentOptions, Runner } from '../../runners/runner.js';
import type { DesiredDeployment, DesiredPlacement, KeptSettings } from '../../state/desired-state.js';
import { Placement } from './placement.js';

/** A GPU, and the placement that holds it. */
export interface OccupiedGpu {
  readonly gpuId: number;
  readonly placement: Placement;
}

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

/** All that is wanted of one model, in memory: its options, and its placements, unit by unit. */
export class DeploymentState {
  updatedAt: Date;
  private readonly byUnit = new Map<string, UnitState>();

  constructor(
    readonly modelName: string,
    readonly backend: string,
    public options: DeploymentOptions,
    public createdAt: Date,
    readonly runner: Runner,
    /** The configuration does not have the model any more, and these are the settings that were kept of it. */
    private readonly former?: KeptSettings,
  ) {
    this.updatedAt = createdAt;
  }

  /** The configuration has the model, in this backend. */
  get inCatalog(): boolean {
    return this.former === undefined;
  }

  /** What the configuration says of the model, or said when it was started. */
  get settings(): KeptSettings {
    if (this.former) return this.former;
    const { memoryMiB, policy } = this.runner.gpuNeeds(this.modelName, this.options);
    const drainSeconds = this.runner.drainSeconds(this.modelName);
    return { gpu_memory_mb: memoryMiB, gpu_policy: policy, drain_seconds: drainSeconds };
  }

  get units(): UnitState[] {
    return [...this.byUnit.values()];
  }

  /** The unit of a placement that is started on this GPU. */
  unitOn(gpuId: number): UnitState {
    const name = this.runner.unitOf(this.modelName, gpuId);
    const unit = this.byUnit.get(name) ?? new UnitState(name, this);
    this.byUnit.set(name, unit);
    return unit;
  }

  get isEmpty(): boolean {
    return this.units.every((unit) => unit.isEmpty);
  }

  /** What is wanted, ERROR included, by the GPU it was started on. */
  get serving(): ReadonlyMap<number, Placement> {
    return new Map(this.units.flatMap(({ serving }) => [...serving]));
  }

  /** What is being stopped, the same. */
  get releasing(): ReadonlyMap<number, Placement> {
    return new Map(this.units.flatMap(({ releasing }) => [...releasing]));
  }

  /** What a caller sees: every GPU that is held, by GPU; what is wanted hides what is being released. */
  visible(): OccupiedGpu[] {
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

  /** GPUs that are not free yet. */
  leavingGpus(): number[] {
    return [...this.releasing.values()].flatMap(({ gpuIds }) => gpuIds);
  }

  active(): Placement[] {
    return this.units.flatMap((unit) => unit.active());
  }

  /** What the backend is to hold now, all units. */
  wanted(): Deployment {
    const gpuIds = this.units.flatMap((unit) => unit.wanted().gpuIds).sort((a, b) => a - b);
    return { modelName: this.modelName, gpuIds, options: this.options };
  }

  toDesired(): DesiredDeployment {
    return {
      model_name: this.modelName,
      model_type: this.backend,
      options: { ...this.options },
      ...(saysSomething(this.settings) && { settings: this.settings }),
      placements: [
        ...[...this.releasing.values()].map((placement) => desiredOf(placement, 'release')),
        ...[...this.serving.values()].map((placement) => ({
          ...desiredOf(placement, placement.status === 'ERROR' ? 'failed' : 'serve'),
          ...(placement.error && { error: placement.error }),
          history: placement.history.toRecord(placement.status),
        })),
      ],
      created_at: this.createdAt.toISOString(),
      updated_at: this.updatedAt.toISOString(),
    };
  }

  /**
   * As it was left by the last run; what was wanted is STARTING until the backend has been asked.
   * @param now when this run takes it up
   */
  static restore(
    desired: DesiredDeployment,
    options: DeploymentOptions,
    runner: Runner,
    now: Date,
    inCatalog = true,
  ): DeploymentState {
    const createdAt = new Date(desired.created_at);
    const { model_name: modelName, model_type: backend } = desired;
    const former = inCatalog ? undefined : (desired.settings ?? NOTHING_KEPT);
    const state = new DeploymentState(modelName, backend, options, createdAt, runner, former);
    state.updatedAt = new Date(desired.updated_at);
    for (const { gpu_id: gpuId, gpu_ids: gpuIds, wanted, error, history } of desired.placements) {
      const placement = new Placement(gpuId, gpuIds ?? runner.gpusOf(gpuId, options), state.createdAt);
      placement.apply('start', state.updatedAt);
      if (wanted === 'failed') {
        placement.apply('failed', state.updatedAt, error);
        placement.cleanUp(true);
      }
      if (history) placement.history.restore(history, placement.status, now);
      if (wanted === 'release') placement.leave();
      const { serving, releasing } = state.unitOn(gpuId);
      (wanted === 'release' ? releasing : serving).set(gpuId, placement);
    }
    return state;
  }
}

/** The settings of a model of which the configuration says nothing. */
const NOTHING_KEPT: KeptSettings = { gpu_memory_mb: null, gpu_policy: 'shared', drain_seconds: 0 };

function saysSomething(settings: KeptSettings): boolean {
  return (Object.keys(NOTHING_KEPT) as (keyof KeptSettings)[]).some(
    (key) => settings[key] !== NOTHING_KEPT[key],
  );
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
