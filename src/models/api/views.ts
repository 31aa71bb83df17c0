import type { DomainError } from '../../common/errors.js';
import type { PlacementError } from '../../state/desired-state.js';
import type { DeploymentState, OccupiedGpu } from '../deployment/deployment-state.js';
import type {
  ModelInstanceInfo,
  ModelStatusItem,
  PlacementErrorInfo,
  PlacementInfo,
  PlacementItem,
  ReleasedMemoryInfo,
} from './model-responses.dto.js';
import type { ReleasedMemory } from '../deployment/placement.js';
import type { PlacementStatus } from '../deployment/placement-state.js';
import type { Assessment } from '../room/assessment.js';
import type { StartForecast } from '../supervisor/start-checks.js';
import type { DeploymentView } from '../supervisor/supervisor.js';
import type { GpuRoomInfo, RefusalInfo, StartPlan } from './start-plan.dto.js';

/** The order in which one placement's status stands for the whole model. */
const PRECEDENCE: readonly PlacementStatus[] = ['STARTING', 'RUNNING', 'ERROR', 'STOPPED'];

/** A deployment as the API shows it. */
export function toInstanceInfo(view: DeploymentView): ModelInstanceInfo {
  const { deployment, placement, held, instancesPerGpu } = view;
  const active = held.filter((each) => each.placement.isActive).map(({ gpuId }) => gpuId);
  return {
    model_name: deployment.modelName,
    model_type: deployment.backend,
    active_gpu_ids: active,
    total_instances: active.length * instancesPerGpu,
    status: PRECEDENCE.find((status) => held.some((each) => each.placement.status === status)) ?? 'STOPPED',
    pid: placement?.pid ?? null,
    port: placement?.port ?? null,
    created_at: deployment.createdAt.toISOString(),
    updated_at: deployment.updatedAt.toISOString(),
    placements: held.map(toPlacementInfo),
    ...(placement?.status === 'STOPPED' && { gpu_memory: toMemoryInfo(placement.releasedMemory) }),
  };
}

/** A held GPU as the API's status lists show it. */
export function toStatusItem(deployment: DeploymentState, held: OccupiedGpu): ModelStatusItem {
  return { model_name: deployment.modelName, model_type: deployment.backend, ...toItem(held) };
}

function toPlacementInfo(held: OccupiedGpu): PlacementInfo {
  const { pid, port } = held.placement;
  return { ...toItem(held), pid, port };
}

/** Plain data of the class: spreading it loses no prototype. */
function toItem({ gpuId, placement }: OccupiedGpu): Omit<PlacementItem, never> {
  return {
    gpu_id: gpuId,
    ...severalGpus(placement.gpuIds),
    status: placement.status,
    ...(placement.error && { error: toErrorInfo(placement.error) }),
    ...(placement.progress !== undefined && { progress: placement.progress }),
    ...(placement.sleeping && { sleeping: true }),
    ...(placement.outdated.length > 0 && { outdated: [...placement.outdated] }),
  };
}

/** Nothing for the many placements that hold one GPU. */
export function severalGpus(gpuIds: readonly number[]): { gpu_ids?: number[] } {
  return gpuIds.length > 1 ? { gpu_ids: gpuIds.toSorted((a, b) => a - b) } : {};
}

function toMemoryInfo(memory: ReleasedMemory | null): ReleasedMemoryInfo | null {
  if (!memory) return null;
  return { released_mb: Math.round(memory.releasedMiB), held_mb: Math.round(memory.heldMiB) };
}

function toErrorInfo({ code, message, log }: PlacementError): PlacementErrorInfo {
  return { code, message, ...(log && { log }) };
}

/** What a start would come to, as the API shows it. */
export function toStartPlan(forecast: StartForecast): StartPlan {
  const { modelName, backend, gpuId, gpuIds, would, refusal, need, gpus } = forecast;
  return {
    model_name: modelName,
    model_type: backend,
    gpu_id: gpuId,
    ...severalGpus(gpuIds),
    accepted: would !== 'refuse',
    would,
    ...(refusal && { reason: toRefusal(refusal) }),
    needs_mb: need.memoryMiB,
    needs_source: need.source,
    gpus: [...gpus].map(([id, assessment]) => toRoomInfo(id, assessment)),
  };
}

function toRoomInfo(gpuId: number, { refusal, leftMiB, placements, processes }: Assessment): GpuRoomInfo {
  return {
    gpu_id: gpuId,
    fits: !refusal,
    left_mb: leftMiB,
    in_the_way: {
      placements: placements.map(({ modelName, state, estimateMiB }) => ({
        model_name: modelName,
        state,
        memory_mb: estimateMiB,
      })),
      processes: processes.map(({ pid, name, memoryMiB }) => ({ pid, name, memory_mb: memoryMiB })),
    },
    ...(refusal && { reason: toRefusal(refusal) }),
  };
}

function toRefusal({ message, code }: DomainError): RefusalInfo {
  return { detail: message, code };
}
