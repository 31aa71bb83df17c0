/** How many GPUs the host that the stand-in plays has, when nothing is said. */
const DEFAULT_GPUS = 4;
const MAX_GPUS = 1024;

/**
 * The indices of the GPUs a server sees: 0 … n-1, where n comes from `TRITON_STANDIN_GPUS` and, as CUDA
 * does it, `CUDA_VISIBLE_DEVICES` narrows it: its list ends at the first entry that isn't a device.
 */
export function visibleGpus(env: Readonly<Record<string, string | undefined>>): number[] {
  const host = hostGpus(env.TRITON_STANDIN_GPUS);
  const listed = env.CUDA_VISIBLE_DEVICES;
  if (listed === undefined) return indices(host);
  const entries = listed.split(',').map((entry) => entry.trim());
  const end = entries.findIndex((entry) => !isDevice(entry, host));
  return indices(end === -1 ? entries.length : end);
}

function hostGpus(text: string | undefined): number {
  if (text === undefined || text.trim() === '') return DEFAULT_GPUS;
  const count = Number(text);
  if (Number.isInteger(count) && count >= 0 && count <= MAX_GPUS) return count;
  throw new Error(`TRITON_STANDIN_GPUS must be a whole number from 0 to ${MAX_GPUS}, not "${text}"`);
}

function isDevice(entry: string, host: number): boolean {
  return /^\d+$/.test(entry) ? Number(entry) < host : /^(GPU|MIG)-/.test(entry);
}

function indices(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
