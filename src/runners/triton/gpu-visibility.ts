import type { GpuAccess } from '../../launchers/launcher.js';
import { GpuNotUsableError, NamedGpuMissingError } from '../errors.js';
import type { Deployment, GpuRef } from '../deployment.js';
import { deviceId, gpusOfPlacement, indexIn, type VisibleGpus } from '../visible-gpus.js';
import type { InstancePlace } from './instance-groups.js';
import type { TritonGpus } from './launch-spec.js';

/** What a server that runs was launched to see. */
export interface Sight {
  readonly serverName: string;
  /** `undefined`: an earlier version launched it, and nobody knows but by the file. */
  readonly visible: VisibleGpus | undefined;
}

/**
 * Which GPUs a Triton server sees, and under which index. A server to be: by `runners.triton.gpus`, the seed's `gpus`. One
 * that runs: by its labels, whatever the file says by now.
 * A container that is given GPUs 2 and 3 knows them as 0 and 1, in PCI bus order whatever the order of the list.
 */
export class GpuVisibility {
  private readonly selected: readonly string[] | undefined;

  constructor(private readonly selection: string) {
    this.selected = selection.startsWith('device=')
      ? selection.slice('device='.length).split(',')
      : undefined;
  }

  /** Of a new server. */
  of(gpus: readonly GpuRef[]): TritonGpus {
    return { access: this.access(gpus), visible: this.visible(gpus) };
  }

  /** Whether the server is on the CPU. */
  isNone({ visible }: Pick<Sight, 'visible'>): boolean {
    return (visible ?? this.selection) === 'none';
  }

  /** @throws NamedGpuMissingError when the host lacks one that the setting names */
  checkSelection(gpus: readonly GpuRef[]): void {
    const absent = this.absentFrom(gpus);
    if (absent.length === 0) return;
    const ids = gpus.map(({ id }) => id).join(', ');
    throw new NamedGpuMissingError(
      `${this.setting}: there is no GPU ${absent.join(', ')} on this host. GPUs: ${ids}. Correct runners.triton.gpus.`,
    );
  }

  private get setting(): string {
    return `runners.triton.gpus: ${this.selection}`;
  }

  /** None where that cannot be told: a host whose GPUs cannot be read, a UUID where one of theirs is not known. */
  private absentFrom(gpus: readonly GpuRef[]): readonly string[] {
    if (gpus.length === 0) return [];
    const areKnown = gpus.every(({ uuid }) => uuid !== null);
    return (this.selected ?? []).filter(
      (each) => (areKnown || /^\d+$/.test(each)) && !gpus.some((gpu) => isNamed(gpu, [each])),
    );
  }

  /** GPUs to hand to a new server, pinned by UUID where it is known. */
  private access(gpus: readonly GpuRef[]): GpuAccess {
    if (this.selection === 'none') return { kind: 'none' };
    if (!this.selected) return { kind: 'all' };
    return { kind: 'devices', ids: this.chosen(gpus).map(deviceId) };
  }

  private visible(gpus: readonly GpuRef[]): VisibleGpus {
    return this.selection === 'none' ? 'none' : this.chosen(gpus).map(deviceId);
  }

  /**
   * @param sight of the server that runs; `undefined`: none does, and one is launched
   * @throws GpuNotUsableError when the server does not see one of them
   */
  places(deployment: Deployment, gpus: readonly GpuRef[], sight: Sight | undefined): InstancePlace[] {
    const visible = sight?.visible ?? this.visible(gpus);
    return deployment.gpuIds.map((gpuId) => {
      if (visible === 'none') return { gpuId, visibleIndex: null };
      const [gpu = { id: gpuId, uuid: null }] = gpusOfPlacement(deployment, gpuId, gpus);
      const visibleIndex = indexIn(visible, gpu);
      if (visibleIndex >= 0) return { gpuId, visibleIndex };
      throw this.notVisible(gpu, gpus, sight);
    });
  }

  private notVisible(gpu: GpuRef, gpus: readonly GpuRef[], sight: Sight | undefined): GpuNotUsableError {
    const { id: gpuId } = gpu;
    const { setting } = this;
    const relaunch = this.chosen(gpus).some(({ id }) => id === gpuId)
      ? `stop what it serves, so that it is launched anew with ${setting}`
      : `change ${setting}, which has it not either, restart this service and stop what that server serves`;
    const words = sight?.visible
      ? `those that ${sight.serverName} was launched with (${String(sight.visible)}): choose another, or ${relaunch}`
      : `those Triton sees (${setting}): choose another, or change that setting`;
    return new GpuNotUsableError(`GPU ${gpuId} is not among ${words}.`, { gpuId });
  }

  private chosen(gpus: readonly GpuRef[]): GpuRef[] {
    const { selected } = this;
    const chosen = selected ? gpus.filter((gpu) => isNamed(gpu, selected)) : [...gpus];
    return chosen.sort((a, b) => a.id - b.id);
  }
}

function isNamed(gpu: GpuRef, names: readonly string[]): boolean {
  return indexIn(names, gpu) >= 0;
}
