import type { DeploymentState } from '../deployment/deployment-state.js';
import type { Placement } from '../deployment/placement.js';
import type { WorkerServices } from './worker-services.js';

/**
 * What the placements that remain on a server take at their peak, MiB, of the GPUs that `left` has given back: the larger
 * of what the configuration says and what was learned. One of which nobody knows counts for nothing.
 */
export function neededBesideMiB(
  left: Placement,
  server: string,
  { states, learned }: Pick<WorkerServices, 'states' | 'learned'>,
): number {
  const needs = states.placed().flatMap((state) =>
    left.gpuIds.flatMap((gpuId) => {
      const there = state.placements().filter((each) => remains(each) && each.holds(gpuId));
      const own = there.filter((each) => state.runner.serverNameOf(state.modelName, each.gpuId) === server);
      return own.map(() => needOf(state, learned));
    }),
  );
  return needs.reduce<number>((sum, need) => sum + (need ?? 0), 0);
}

/** It has memory of its GPU, or is about to. */
function remains(placement: Placement): boolean {
  return !placement.hasLetGo && (placement.status !== 'ERROR' || placement.isUnclean);
}

function needOf(
  { modelName, options, needs }: DeploymentState,
  learned: WorkerServices['learned'],
): number | null {
  if (needs.offGpu) return 0;
  const peakMiB = learned.peakOf(modelName, options);
  return peakMiB === undefined ? needs.memoryMiB : Math.max(peakMiB, needs.memoryMiB ?? 0);
}
