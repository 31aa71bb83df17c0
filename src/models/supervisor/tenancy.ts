import type { GpuTenant } from '../../gpus/gpu-tenants.js';
import type { Catalog } from '../deployment/catalog.js';
import type { DeploymentState } from '../deployment/deployment-state.js';
import type { Placement } from '../deployment/placement.js';

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
