import type { DomainError } from '../../common/errors.js';
import type { PlacementError } from '../../state/desired-state.js';
import type { DeploymentState, OccupiedGpu } from '../deployment/deployment-state.js';
import type {
  ModelInstanceInfo,
  ModelStatusItem,
  PlacementErrorInfo,
  PlacementItem,
  ReleasedMemoryInfo,
} from './model-responses.dto.js';
import type { DrainOutcome, ReleasedMemory } from '../deployment/stop-outcome.js';
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
    ...inCatalog(deployment),
    active_gpu_ids: active,
    total_instances: active.length * instancesPerGpu,
    status: PRECEDENCE.find((status) => held.some((each) => each.placement.status === status)) ?? 'STOPPED',
    pid: placement?.pid ?? null,
    port: placement?.port ?? null,
    ...(placement && severalPorts(placement.ports)),
    created_at: deployment.createdAt.toISOString(),
    updated_at: deployment.updatedAt.toISOString(),
    placements: held.map((each) => toItem(deployment, each)),
    ...(placement?.status === 'STOPPED' && { gpu_memory: toMemoryInfo(placement.releasedMemory) }),
    ...(placement?.status === 'STOPPED' && toDrainInfo(placement.drainOutcome)),
    ...(view.unsaved !== undefined && { state_unsaved: view.unsaved }),
  };
}

/** A held GPU as the API's status lists show it. */
export function toStatusItem(deployment: DeploymentState, held: OccupiedGpu): ModelStatusItem {
  return {
    model_name: deployment.modelName,
    model_type: deployment.backend,
    ...inCatalog(deployment),
    ...toItem(deployment, held),
  };
}

/** Nothing for the many models that the configuration has. */
function inCatalog(deployment: DeploymentState): { in_catalog?: false } {
  return deployment.inCatalog ? {} : { in_catalog: false };
}

/** Plain data of the class: spreading it loses no prototype. */
function toItem(deployment: DeploymentState, { gpuId, placement }: OccupiedGpu): Omit<PlacementItem, never> {
  const { pid, port, history } = placement;
  return {
    gpu_id: gpuId,
    ...severalGpus(placement.gpuIds),
    status: placement.status,
    ...(placement.error && { error: toErrorInfo(placement.error, history.since) }),
    ...(placement.progress !== undefined && { progress: placement.progress }),
    ...(placement.sleeping && { sleeping: true }),
    ...(placement.degraded !== undefined && { degraded: placement.degraded }),
    ...(placement.outdated.length > 0 && { outdated: [...placement.outdated] }),
    gpu_uuid: placement.gpus.find(({ id }) => id === gpuId)?.uuid ?? null,
    pid,
    port,
    ...severalPorts(placement.ports),
    options: { ...deployment.optionsOf(placement) },
    since: history.since.toISOString(),
    restarts: history.restarts,
    ...(history.lastCrash && { last_crash: history.lastCrash }),
  };
}

/** Nothing for the many placements that hold one GPU. */
export function severalGpus(gpuIds: readonly number[]): { gpu_ids?: number[] } {
  return gpuIds.length > 1 ? { gpu_ids: gpuIds.toSorted((a, b) => a - b) } : {};
}

/** Nothing for the many servers that have one port. */
function severalPorts(ports: ReadonlyMap<string, number> | undefined): { ports?: Record<string, number> } {
  return ports ? { ports: Object.fromEntries(ports) } : {};
}

/** Nothing where no drain was asked for. */
function toDrainInfo(outcome: DrainOutcome | undefined): Pick<ModelInstanceInfo, 'drained' | 'drain_reason'> {
  if (!outcome) return {};
  const { drained, reason } = outcome;
  return { drained, ...(reason !== undefined && { drain_reason: reason }) };
}

function toMemoryInfo(memory: ReleasedMemory | null): ReleasedMemoryInfo | null {
  if (!memory) return null;
  return { released_mb: Math.round(memory.releasedMiB), held_mb: Math.round(memory.heldMiB) };
}

/** @param since of an error whose time nobody has noted */
export function toErrorInfo({ code, message, log, at }: PlacementError, since: Date): PlacementErrorInfo {
  return { code, message, ...(log && { log }), at: at ?? since.toISOString() };
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
