import type { Deployment, DeploymentOptions, GpuNeeds } from '../../runners/deployment.js';
import type { Runner } from '../../runners/runner.js';
import type { DesiredDeployment, KeptSettings } from '../../state/desired-state.js';
import { desiredOf, heldBy } from './desired-placement.js';
import { NOTHING_KEPT, saysSomething } from './kept-settings.js';
import { Placement } from './placement.js';

/** A GPU, and the placement that holds it. */
export interface OccupiedGpu {
  readonly gpuId: number;
  readonly placement: Placement;
}

/**
 * The placements of one unit (`Runner.unitOf`), by their numbers (`Placement.gpuId`). A GPU can be held in `serving` and in
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

  /** Numbers of what the backend has to let go of now: accepted stops that do not drain, and what failed. */
  toRelease(): number[] {
    const failed = [...this.serving.values()].filter((placement) => placement.isUnclean);
    const stopped = [...this.releasing.values()].filter((placement) => !placement.isDraining);
    return [...new Set([...stopped, ...failed].map((placement) => placement.gpuId))];
  }

  /** Numbers of all there is of it: what serves, starts, drains, or is not cleaned up yet. */
  occupied(): number[] {
    const active = this.active().map(({ gpuId }) => gpuId);
    return [...new Set([...active, ...this.releasing.keys(), ...this.toRelease()])];
  }

  /** NVML index of a placement's GPU, as people know it. */
  indexOf(gpuId: number): number {
    return (this.serving.get(gpuId) ?? this.releasing.get(gpuId))?.index ?? gpuId;
  }

  /** Of several units of a model, one may be to get GPUs that another has to give back first. */
  private servable(): Placement[] {
    const leaving = this.deployment.leavingGpus();
    return this.active().filter((placement) => !placement.holdsAnyOf(leaving));
  }

  private deploymentOf(placements: readonly Placement[]): Deployment {
    return deploymentOf(this.deployment, placements);
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
    const { memoryMiB, policy, offGpu = false } = this.runner.gpuNeeds(this.modelName, this.options);
    return {
      gpu_memory_mb: offGpu ? null : memoryMiB,
      gpu_policy: policy,
      off_gpu: offGpu,
      drain_seconds: this.runner.drainSeconds(this.modelName),
    };
  }

  /** By the same. */
  get needs(): GpuNeeds {
    const { gpu_memory_mb: memoryMiB, gpu_policy: policy, off_gpu: offGpu } = this.settings;
    return offGpu ? { memoryMiB: 0, policy, offGpu } : { memoryMiB, policy };
  }

  get units(): UnitState[] {
    return [...this.byUnit.values()];
  }

  /** The unit of a placement of this number. */
  unitOn(gpuId: number): UnitState {
    const name = this.runner.unitOf(this.modelName, gpuId);
    const unit = this.byUnit.get(name) ?? new UnitState(name, this);
    this.byUnit.set(name, unit);
    return unit;
  }

  get isEmpty(): boolean {
    return this.units.every((unit) => unit.isEmpty);
  }

  /** What is wanted, ERROR included, by number. */
  get serving(): ReadonlyMap<number, Placement> {
    return new Map(this.units.flatMap(({ serving }) => [...serving]));
  }

  /** What is being stopped, the same. */
  get releasing(): ReadonlyMap<number, Placement> {
    return new Map(this.units.flatMap(({ releasing }) => [...releasing]));
  }

  /** What a caller sees: every GPU that is held, by GPU; what is wanted hides what is being released. */
  visible(): OccupiedGpu[] {
    const serving = onTheirGpus(this.serving);
    const leaving = onTheirGpus(this.releasing).filter(
      ({ gpuId }) => !serving.some((each) => each.gpuId === gpuId),
    );
    return [...serving, ...leaving].sort((a, b) => a.gpuId - b.gpuId);
  }

  /** The placement that is wanted on the GPU of this NVML index, ERROR included; with a UUID, on none but that GPU. */
  servingOn(gpuId: number, uuid?: string): Placement | undefined {
    return holderOf({ gpuId, uuid }, this.serving);
  }

  /** The placement that is letting go of this GPU. */
  releasingOn(gpuId: number, uuid?: string): Placement | undefined {
    return holderOf({ gpuId, uuid }, this.releasing);
  }

  /** GPUs that are not free yet. */
  leavingGpus(): number[] {
    return [...this.releasing.values()].flatMap(({ held }) => held.presentIds);
  }

  /** All, also those that are being stopped. */
  placements(): Placement[] {
    return [...this.releasing.values(), ...this.serving.values()];
  }

  /**
   * The number of a placement that is to be started on these GPUs: the NVML index of the first. Where GPUs have moved, a
   * placement on another GPU may have that number: then one that nobody has.
   */
  numberFor(gpuIds: readonly number[]): number {
    const [index = 0] = gpuIds;
    const all = this.placements();
    const again = [...this.serving.values()].find((each) => each.gpuIds.join() === gpuIds.join());
    const isTaken = all.some((each) => each.gpuId === index && !each.holdsAnyOf(gpuIds));
    return again?.gpuId ?? (isTaken ? Math.max(index, ...all.map(({ gpuId }) => gpuId)) + 1 : index);
  }

  /** The options of a placement as a start would say them now: GPUs that they name by index are where their UUIDs are. */
  optionsOf({ gpuIds }: Placement): DeploymentOptions {
    return this.runner.optionsOn(this.options, gpuIds);
  }

  active(): Placement[] {
    return this.units.flatMap((unit) => unit.active());
  }

  /** What the backend is to hold now, all units. */
  wanted(): Deployment {
    const wanted = this.units.map((unit) => unit.wanted());
    const gpuIds = wanted.flatMap((each) => each.gpuIds).sort((a, b) => a - b);
    const gpus = new Map(wanted.flatMap((each) => [...(each.gpus ?? [])]));
    return { modelName: this.modelName, gpuIds, gpus, options: this.options };
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
    for (const entry of desired.placements) {
      const { gpu_id: gpuId, wanted, error, history } = entry;
      const placement = new Placement(gpuId, heldBy(entry, options, runner), state.createdAt);
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

function deploymentOf({ modelName, options }: DeploymentState, placements: readonly Placement[]): Deployment {
  const sorted = placements.toSorted((a, b) => a.gpuId - b.gpuId);
  return {
    modelName,
    gpuIds: sorted.map(({ gpuId }) => gpuId),
    gpus: new Map(sorted.map(({ gpuId, gpus }) => [gpuId, gpus])),
    options,
  };
}

function onTheirGpus(placements: ReadonlyMap<number, Placement>): OccupiedGpu[] {
  return [...placements.values()].flatMap((placement) =>
    placement.gpuIds.map((gpuId) => ({ gpuId, placement })),
  );
}

/**
 * By NVML index. What the host does not have any more had this index once: whoever has it now comes first, unless the UUID
 * tells who is meant.
 */
function holderOf(
  { gpuId, uuid }: { readonly gpuId: number; readonly uuid: string | undefined },
  placements: ReadonlyMap<number, Placement>,
): Placement | undefined {
  const all = [...placements.values()];
  if (uuid !== undefined)
    return all.find(({ gpus }) => gpus.some((gpu) => gpu.id === gpuId && gpu.uuid === uuid));
  return (
    all.find(({ held }) => held.presentIds.includes(gpuId)) ?? all.find((placement) => placement.holds(gpuId))
  );
}
