import type { GpuTenant } from '../../gpus/gpu-tenants.js';
import type { Catalog } from '../deployment/catalog.js';
import type { DeploymentState } from '../deployment/deployment-state.js';
import type { Placement } from '../deployment/placement.js';
import type { Claim, Occupant } from '../room/occupant.js';

/** A model's placements, on each GPU they hold; a GPU can have two, one that leaves and one that waits for it. */
export function occupantsOf(state: DeploymentState, { need, policy }: Claim): Occupant[] {
  const of = ({ gpuIds, pid, formerPid, sleeping }: Placement, phase: Occupant['state']): Occupant[] =>
    gpuIds.map((gpuId) => ({
      modelName: state.modelName,
      gpuId,
      pid: phase === 'leaving' ? formerPid : pid,
      state: phase,
      estimateMiB: need.memoryMiB,
      policy,
      ...(sleeping && { sleeping }),
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
export function tenantsOf(deployment: DeploymentState, catalog: Catalog): GpuTenant[] {
  const { modelName, options } = deployment;
  const instances = catalog.runnerOf(modelName, 'not_found').instancesPerGpu(options);
  return deployment
    .visible()
    .filter(({ placement }) => placement.isActive && !placement.hasLetGo)
    .map(({ gpuId, placement }) => ({
      modelName,
      gpuId,
      placement: `${modelName}@${placement.gpuId}`,
      pid: placement.pid,
      serverName: serverNameOf(deployment, placement, catalog),
      instances,
    }));
}

/** Name of the placement's server: by the backend's word, or else where it is going to be. */
export function serverNameOf(
  { modelName }: DeploymentState,
  { serverName, gpuId }: Placement,
  catalog: Catalog,
): string | null {
  return serverName ?? catalog.find(modelName)?.serverNameOf(modelName, gpuId) ?? null;
}
