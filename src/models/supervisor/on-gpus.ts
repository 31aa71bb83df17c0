import { Injectable } from '@nestjs/common';
import type { GpuOccupant } from '../../gpus/gpu-occupants.js';
import type { DeploymentState } from '../deployment/deployment-state.js';
import type { Placement } from '../deployment/placement.js';
import { DeploymentStates } from '../deployment/deployment-states.js';
import { GpuRoom } from '../room/gpu-room.js';
import type { Claim, Occupant } from '../room/occupant.js';

/** All placements, on each GPU that they hold: for whoever wants room there, and for whoever looks at the GPUs. */
@Injectable()
export class OnGpus {
  constructor(
    private readonly states: DeploymentStates,
    private readonly room: GpuRoom,
  ) {}

  /** What holds memory of a GPU, or is to. */
  occupants(): Occupant[] {
    return this.states.placed().flatMap((state) => {
      const { modelName, options, needs } = state;
      return occupantsOf(state, this.room.claimOf(needs, modelName, options));
    });
  }

  /** What runs or starts. */
  shown(): GpuOccupant[] {
    return this.states.placed().flatMap((state) => shownOf(state));
  }
}

/** A model's placements, on each GPU they hold; a GPU can have two, one that leaves and one that waits for it. */
function occupantsOf(state: DeploymentState, { need, policy, offGpu }: Claim): Occupant[] {
  const of = ({ held, pid, formerPid, sleeping }: Placement, phase: Occupant['state']): Occupant[] =>
    held.present.map(({ id, uuid }) => ({
      modelName: state.modelName,
      gpuId: id,
      ...(uuid !== null && { gpuUuid: uuid }),
      pid: phase === 'leaving' ? formerPid : pid,
      state: phase,
      estimateMiB: need.memoryMiB,
      policy,
      ...(sleeping && { sleeping }),
      ...(offGpu && { offGpu }),
    }));
  const unclean = [...state.serving.values()].filter(({ isUnclean }) => isUnclean);
  return [
    ...[...state.releasing.values(), ...unclean].flatMap((placement) => of(placement, 'leaving')),
    ...state
      .active()
      .flatMap((placement) => of(placement, placement.status === 'RUNNING' ? 'running' : 'starting')),
  ];
}

/** What of a deployment the GPUs are to know: what runs or starts, on each GPU it holds. */
function shownOf(deployment: DeploymentState): GpuOccupant[] {
  const { modelName, options, runner, needs } = deployment;
  const instances = runner.instancesPerGpu(options, modelName);
  const { offGpu } = needs;
  return deployment
    .visible()
    .filter(({ placement }) => placement.isActive && !placement.hasLetGo)
    .map(({ gpuId, placement }) => ({
      modelName,
      gpuId,
      placement: `${modelName}@${placement.index}`,
      pid: placement.pid,
      serverName: serverNameOf(deployment, placement),
      instances,
      ...(offGpu && { offGpu }),
    }));
}

/** Name of the placement's server: by the backend's word, or else where it is going to be. */
export function serverNameOf(
  { modelName, runner }: DeploymentState,
  { serverName, gpuId }: Placement,
): string | null {
  return serverName ?? runner.serverNameOf(modelName, gpuId);
}
