import type { GpuRef } from '../deployment.js';
import type { ReportedDevice } from './comfyui-client.js';
import { WrongDeviceError } from './errors.js';

const MIB = 1024 * 1024;
/** CUDA leaves out what the driver and ECC reserve, which NVML counts. */
const MEMORY_TOLERANCE = 0.15;

/**
 * What is wrong with the device a server says it uses; `undefined` when nothing is. Pinned by UUID, it sees one GPU and
 * calls it `cuda:0`: that this is the one is told by what NVML knows of it, as far as that is known.
 */
export function deviceFault(
  reported: ReportedDevice,
  wanted: 'gpu' | 'cpu',
  gpu: GpuRef,
): WrongDeviceError | undefined {
  const { name, type } = reported;
  const place = wanted === 'cpu' ? 'the CPU' : `GPU ${gpu.id}`;
  const fault = (but: string): WrongDeviceError =>
    new WrongDeviceError(`ComfyUI was to run on ${place}, and says that it runs on "${name}"${but}.`, {
      reported,
      gpu,
    });
  if (wanted === 'cpu') return type === 'cpu' ? undefined : fault(': it must not see a GPU');
  if (type !== 'cuda') return fault(': check the driver, and that its PyTorch is made for CUDA');
  if (gpu.name && !name.includes(gpu.name)) return fault(`, which is no ${gpu.name}`);
  // A slice of a GPU has a part of its memory.
  const expected = name.includes('MIG') ? null : gpu.memoryTotalMiB;
  const actual = reported.vram_total;
  if (!expected || !actual) return undefined;
  const difference = Math.abs(actual / MIB - expected) / expected;
  if (difference <= MEMORY_TOLERANCE) return undefined;
  return fault(` with ${Math.round(actual / MIB)} MiB, where ${expected} MiB were to be expected`);
}
