import { GpuReadError, NvmlNotInstalledError } from '../gpu-provider.js';
import type { NvmlFailure } from './nvml-messages.js';

const REMEDIES: Readonly<Record<number, string>> = {
  4: 'Give this user access to /dev/nvidia*.',
  9: 'Load the NVIDIA driver (nvidia-smi must work on this host), and start a container with the NVIDIA runtime.',
  17: 'Check the cgroup rules for /dev/nvidia*; a container may have to be created anew.',
  18: 'Reboot, or load the kernel module of the installed driver version.',
};
const DEFAULT_REMEDY = 'Check that nvidia-smi works on this host.';

/** The domain error for a failure that the NVML process reported. */
export function errorOf(failure: NvmlFailure, library: string): NvmlNotInstalledError | GpuReadError {
  const facts = { library, nvmlCode: failure.nvmlCode, reason: failure.reason };
  if (failure.reason === 'library_not_loaded') {
    return new NvmlNotInstalledError(
      `NVIDIA's management library ${library} cannot be loaded (${failure.text}): install the NVIDIA driver (on Debian the package libnvidia-ml1), set gpus.nvml_library to its path, or set gpus.source to simulated.`,
      facts,
    );
  }
  const doing = failure.reason === 'init_failed' ? 'NVML cannot be initialised' : 'NVML gives no readings';
  const remedy = REMEDIES[failure.nvmlCode ?? -1] ?? DEFAULT_REMEDY;
  return new GpuReadError(`${doing}: ${failure.text}. ${remedy}`, facts);
}

/** The error for readings that failed for another reason than NVML's own word. `why` goes into a sentence. */
export function readingFailed(why: string, options?: ErrorOptions): GpuReadError {
  return new GpuReadError(
    `GPU readings failed: ${why}. Check that nvidia-smi answers on this host.`,
    {},
    options,
  );
}
