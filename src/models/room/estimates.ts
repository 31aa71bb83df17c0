import type { DeploymentOptions, Runner } from '../../runners/runner.js';

/** What one placement takes at its peak on its GPU, and how that is known. */
export interface MemoryNeed {
  readonly memoryMiB: number | null;
  readonly source: 'configured' | 'unknown';
}

export function needOf(runner: Runner, modelName: string, options: DeploymentOptions): MemoryNeed {
  const { memoryMiB } = runner.gpuNeeds(modelName, options);
  return { memoryMiB, source: memoryMiB === null ? 'unknown' : 'configured' };
}
