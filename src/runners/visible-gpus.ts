import type { ServerInfo } from '../launchers/launcher.js';
import type { Deployment, GpuRef } from './deployment.js';

/**
 * What a server was given of the host's GPUs, in the order of the indices that it knows them by: UUIDs, and NVML indices
 * where those were not known; `none`: no GPU.
 */
export type VisibleGpus = readonly string[] | 'none';

const LABEL = 'model-inference-client.visible-gpus';

export function visibleLabel(visible: VisibleGpus): Record<string, string> {
  return { [LABEL]: visible === 'none' ? visible : visible.join(',') };
}

/** `undefined`: an earlier version launched it, which did not say. */
export function visibleIn(labels: ServerInfo['labels']): VisibleGpus | undefined {
  const text = labels[LABEL];
  if (text === undefined || text === 'none') return text;
  return text === '' ? [] : text.split(',');
}

/** As launchers take it, and as labels keep it. */
export function deviceId({ id, uuid }: GpuRef): string {
  return uuid ?? String(id);
}

/** The index by which the server knows the GPU; -1: it does not see it. */
export function indexIn(visible: readonly string[], { id, uuid }: GpuRef): number {
  return visible.findIndex((device) => device === uuid || device === String(id));
}

/**
 * The GPUs of one placement as the host has them: by UUID, and by index where that is not known.
 * @param gpus every GPU of the host; one that is not among them is as the deployment has it
 * @param held NVML indices of the GPUs where the deployment does not say
 */
export function gpusOfPlacement(
  { gpus: known }: Deployment,
  number: number,
  gpus: readonly GpuRef[],
  held: readonly number[] = [number],
): readonly GpuRef[] {
  const refs = known?.get(number) ?? held.map((id): GpuRef => ({ id, uuid: null }));
  return refs.map((ref) => gpus.find((gpu) => isSameGpu(gpu, ref)) ?? ref);
}

function isSameGpu(gpu: GpuRef, { id, uuid }: GpuRef): boolean {
  return uuid === null ? gpu.id === id : gpu.uuid === uuid;
}
