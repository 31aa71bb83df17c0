import type { DomainError } from '../../common/errors.js';
import type { GpuRoomInfo, RefusalInfo, StartPlan } from './start-plan.dto.js';
import type { Assessment } from '../room/assessment.js';
import type { StartForecast } from '../supervisor/start-forecast.js';
import { severalGpus } from './views.js';

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
