import type { Deployment, GpuRef } from '../deployment.js';
import type { Ensembles } from './ensembles.js';
import type { GpuVisibility, Sight } from './gpu-visibility.js';
import { type GroupKind, type InstanceGroups, type InstancePlace, kindIn } from './instance-groups.js';
import { modelGpuConfig } from './triton-options.js';
import type { InstanceKind, TritonConfig } from './triton-section.js';

/** Where the instances of each model run, and of which kind they are. */
export class ModelPlaces {
  /** Of models that the configuration has no more: as they serve. */
  private readonly formerKinds = new Map<string, InstanceKind>();

  constructor(
    private readonly config: TritonConfig,
    private readonly visibility: GpuVisibility,
    private readonly ensembles: Ensembles,
  ) {}

  kindOf(model: string): InstanceKind {
    const { kind } = modelGpuConfig(this.config, model);
    return this.isFormer(model) ? (this.formerKinds.get(model) ?? kind) : kind;
  }

  /** What Triton says of a model that it serves: of one that the configuration has no more, nothing else tells its kind. */
  note(model: string, config: InstanceGroups): void {
    if (this.isFormer(model)) this.formerKinds.set(model, kindIn(config));
  }

  /** Of the instances that a model has on a server that sees this; `undefined`: they are Triton's choice. */
  groupKindOf(model: string, sight: Sight): GroupKind | undefined {
    const groupKinds = { cpu: 'KIND_CPU', model: 'KIND_MODEL', auto: undefined } as const;
    const kind = this.kindOf(model);
    if (kind !== 'gpu') return groupKinds[kind];
    return this.visibility.isNone(sight) ? 'KIND_CPU' : 'KIND_GPU';
  }

  /**
   * On a GPU that its server has to see: the instances of kind `gpu` alone.
   * @param sight of the server that runs; `undefined`: none does, and one is launched
   * @throws GpuNotUsableError
   */
  of(deployment: Deployment, gpus: readonly GpuRef[], sight: Sight | undefined): readonly InstancePlace[] {
    const { modelName, gpuIds } = deployment;
    if (this.kindOf(modelName) === 'gpu' && !this.ensembles.has(modelName))
      return this.visibility.places(deployment, gpus, sight);
    return gpuIds.map((gpuId) => ({ gpuId, visibleIndex: null }));
  }

  private isFormer(model: string): boolean {
    return !this.config.supported_models.includes(model);
  }
}
