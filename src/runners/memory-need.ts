import type { GpuNeeds } from './deployment.js';

/** What one placement takes at its peak on its GPU, and how that is known. */
export interface MemoryNeed {
  readonly memoryMiB: number | null;
  readonly source: 'configured' | 'learned' | 'unknown';
}

/** The larger of what the configuration says and what it took earlier, MiB, under the same options. */
export function needOf({ memoryMiB, offGpu = false }: GpuNeeds, learnedMiB: number | undefined): MemoryNeed {
  if (!offGpu && learnedMiB !== undefined && learnedMiB > (memoryMiB ?? 0)) {
    return { memoryMiB: learnedMiB, source: 'learned' };
  }
  return { memoryMiB, source: memoryMiB === null ? 'unknown' : 'configured' };
}
