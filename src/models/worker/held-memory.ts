import { needOf } from '../../runners/memory-need.js';
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
      const { memoryMiB } = needOf(state.needs, learned.peakOf(state.modelName, state.options));
      return own.map(() => memoryMiB);
    }),
  );
  return needs.reduce<number>((sum, need) => sum + (need ?? 0), 0);
}

/** It has memory of its GPU, or is about to. */
function remains(placement: Placement): boolean {
  return !placement.hasLetGo && (placement.status !== 'ERROR' || placement.isUnclean);
}
