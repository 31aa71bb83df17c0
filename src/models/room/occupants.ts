import type { GpuPolicy } from '../../runners/runner.js';
import type { DeploymentState } from '../deployment-state.js';
import type { MemoryNeed } from './estimates.js';
import type { Occupant } from './occupant.js';

/** What a placement of a model asks of its GPU. */
export interface Claim {
  readonly need: MemoryNeed;
  readonly policy: GpuPolicy;
}

/** A model's placements; a GPU can have two, one that leaves and one that waits for it. */
export function occupantsOf(state: DeploymentState, { need, policy }: Claim): Occupant[] {
  const of = (gpuId: number, pid: number | null, phase: Occupant['state']): Occupant => ({
    modelName: state.modelName,
    gpuId,
    pid,
    state: phase,
    estimateMiB: need.memoryMiB,
    policy,
  });
  return [
    ...[...state.releasing.values()].map(({ gpuId, pid }) => of(gpuId, pid, 'leaving')),
    ...state.active().map(({ gpuId, pid, status, sleeping }) => ({
      ...of(gpuId, pid, status === 'RUNNING' ? 'running' : 'starting'),
      ...(sleeping && { sleeping }),
    })),
  ];
}
