import type { GpuSample } from './gpu-provider.js';

/** Of a GPU that gives none. */
export const NO_READINGS = {
  memoryTotalMiB: null,
  memoryUsedMiB: null,
  utilization: null,
  temperature: null,
  powerDraw: null,
  powerLimit: null,
  processes: [],
} as const satisfies Partial<GpuSample>;
