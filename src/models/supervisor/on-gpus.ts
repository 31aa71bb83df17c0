import type { GpuPolicy } from '../../runners/runner.js';
import type { DeploymentState } from '../deployment/deployment-state.js';
import type { Placement } from '../deployment/placement.js';
import type { MemoryNeed } from '../room/estimates.js';
import type { Occupant } from '../room/occupant.js';

/** What a placement of a model asks of its GPU. */
export interface Claim {
  readonly need: MemoryNeed;
  readonly policy: GpuPolicy;
}

/** A model's placements, on each GPU they hold; a GPU can have two, one that leaves and one that waits for it. */
export function occupantsOf(state: DeploymentState, { need, policy }: Claim): Occupant[] {
  const of = ({ gpuIds, pid, formerPid, sleeping }: Placement, phase: Occupant['state']): Occupant[] =>
    gpuIds.map((gpuId) => ({
      modelName: state.modelName,
      gpuId,
      pid: phase === 'leaving' ? (pid ?? formerPid) : pid,
      state: phase,
      estimateMiB: need.memoryMiB,
      policy,
      ...(sleeping && { sleeping }),
    }));
  const unclean = [...state.serving.values()].filter(({ needsRelease }) => needsRelease);
  return [
    ...[...state.releasing.values(), ...unclean].flatMap((placement) => of(placement, 'leaving')),
    ...state
      .active()
      .flatMap((placement) => of(placement, placement.status === 'RUNNING' ? 'running' : 'starting')),
  ];
}
