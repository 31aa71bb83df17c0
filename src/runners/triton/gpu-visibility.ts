import type { GpuAccess } from '../../launchers/launcher.js';
import { GpuNotUsableError } from '../errors.js';
import type { GpuRef } from '../runner.js';
import type { InstancePlace } from './instance-groups.js';

/**
 * Which GPUs a Triton server sees, and under which index: `runners.triton.gpus`, the seed's `gpus`.
 * A container that is given GPUs 2 and 3 knows them as 0 and 1, in PCI bus order whatever the order of the list.
 */
export class GpuVisibility {
  private readonly selected: readonly string[] | undefined;

  constructor(private readonly selection: string) {
    this.selected = selection.startsWith('device=')
      ? selection.slice('device='.length).split(',')
      : undefined;
  }

  /** The server is on the CPU. */
  get isNone(): boolean {
    return this.selection === 'none';
  }

  /** GPUs to hand to a new server, pinned by UUID where it is known. */
  access(gpus: readonly GpuRef[]): GpuAccess {
    if (this.selection === 'none') return { kind: 'none' };
    if (!this.selected) return { kind: 'all' };
    return { kind: 'devices', ids: this.visible(gpus).map((gpu) => gpu.uuid ?? String(gpu.id)) };
  }

  /**
   * @throws GpuNotUsableError when the server does not see one of them
   */
  places(gpuIds: readonly number[], gpus: readonly GpuRef[]): InstancePlace[] {
    if (this.selection === 'none') return gpuIds.map((gpuId) => ({ gpuId, visibleIndex: null }));
    const visible = this.visible(gpus);
    return gpuIds.map((gpuId) => {
      const visibleIndex = visible.findIndex((gpu) => gpu.id === gpuId);
      if (visibleIndex >= 0) return { gpuId, visibleIndex };
      throw new GpuNotUsableError(
        `GPU ${gpuId} is not among those Triton sees (runners.triton.gpus: ${this.selection}): choose another, or change that setting.`,
        { gpuId },
      );
    });
  }

  private visible(gpus: readonly GpuRef[]): GpuRef[] {
    const { selected } = this;
    const chosen = selected
      ? gpus.filter(
          (gpu) => selected.includes(String(gpu.id)) || (gpu.uuid !== null && selected.includes(gpu.uuid)),
        )
      : [...gpus];
    return chosen.sort((a, b) => a.id - b.id);
  }
}
