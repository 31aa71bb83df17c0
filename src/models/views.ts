import type { PlacementError } from '../state/desired-state.js';
import type { DeploymentState } from './deployment-state.js';
import type {
  ModelInstanceInfo,
  ModelStatusItem,
  PlacementErrorInfo,
  PlacementInfo,
  ReleasedMemoryInfo,
} from './dto/model-responses.dto.js';
import type { Placement, ReleasedMemory } from './placement.js';
import type { PlacementStatus } from './placement-state.js';
import type { DeploymentView } from './supervisor.js';

/** The order in which one placement's status stands for the whole model. */
const PRECEDENCE: readonly PlacementStatus[] = ['STARTING', 'RUNNING', 'ERROR', 'STOPPED'];

/** A deployment as the API shows it. */
export function toInstanceInfo(view: DeploymentView): ModelInstanceInfo {
  const { deployment, placement, placements, instancesPerGpu } = view;
  const active = placements.filter((each) => each.isActive).map((each) => each.gpuId);
  return {
    model_name: deployment.modelName,
    model_type: deployment.backend,
    active_gpu_ids: active,
    total_instances: active.length * instancesPerGpu,
    status: PRECEDENCE.find((status) => placements.some((each) => each.status === status)) ?? 'STOPPED',
    pid: placement?.pid ?? null,
    port: placement?.port ?? null,
    created_at: deployment.createdAt.toISOString(),
    updated_at: deployment.updatedAt.toISOString(),
    placements: placements.map(toPlacementInfo),
    ...(placement?.status === 'STOPPED' && { gpu_memory: toMemoryInfo(placement.releasedMemory) }),
  };
}

/** A placement as the API's status lists show it. */
export function toStatusItem(deployment: DeploymentState, placement: Placement): ModelStatusItem {
  return {
    model_name: deployment.modelName,
    model_type: deployment.backend,
    gpu_id: placement.gpuId,
    status: placement.status,
    ...(placement.error && { error: toErrorInfo(placement.error) }),
    ...(placement.progress !== undefined && { progress: placement.progress }),
    ...(placement.sleeping && { sleeping: true }),
  };
}

function toPlacementInfo(placement: Placement): PlacementInfo {
  return {
    gpu_id: placement.gpuId,
    status: placement.status,
    pid: placement.pid,
    port: placement.port,
    ...(placement.error && { error: toErrorInfo(placement.error) }),
    ...(placement.progress !== undefined && { progress: placement.progress }),
    ...(placement.sleeping && { sleeping: true }),
  };
}

function toMemoryInfo(memory: ReleasedMemory | null): ReleasedMemoryInfo | null {
  if (!memory) return null;
  return { released_mb: Math.round(memory.releasedMiB), held_mb: Math.round(memory.heldMiB) };
}

function toErrorInfo({ code, message, log }: PlacementError): PlacementErrorInfo {
  return { code, message, ...(log && { log }) };
}
