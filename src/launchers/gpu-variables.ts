/**
 * Variables by which programs choose their GPUs. The GPUs of a launch decide that: a server gets these from its launcher or
 * its runner alone.
 */
export const GPU_VARIABLES = [
  'CUDA_VISIBLE_DEVICES',
  'CUDA_DEVICE_ORDER',
  'NVIDIA_VISIBLE_DEVICES',
  'HIP_VISIBLE_DEVICES',
  'ROCR_VISIBLE_DEVICES',
  'GPU_DEVICE_ORDINAL',
  'AMD_VISIBLE_DEVICES',
  'ONEAPI_DEVICE_SELECTOR',
  'ZE_AFFINITY_MASK',
  'ASCEND_RT_VISIBLE_DEVICES',
] as const;

/** Begins the variables that mark a server as launched by this service. */
export const MARK_PREFIX = 'MIC_LAUNCH_';
