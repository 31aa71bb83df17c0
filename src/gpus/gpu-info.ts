import type { GpuSample } from './gpu-provider.js';
import type { GpuTenant } from './gpu-tenants.js';
import type { GpuInfo, GpuProcessInfo } from './gpus.dto.js';

/** Pid of a process on a GPU → main pid of the server of this service that it belongs to. */
export type ServerPids = ReadonlyMap<number, number>;

/** A reading as the API shows it. */
export function toGpuInfo(sample: GpuSample, tenants: readonly GpuTenant[], serverPids: ServerPids): GpuInfo {
  const here = tenants.filter((tenant) => tenant.gpuId === sample.id);
  return {
    id: sample.id,
    memory_usage: percent(sample.memoryUsedMiB, sample.memoryTotalMiB),
    power_draw: oneDecimal(sample.powerDraw),
    processes: sample.processes.map((process): GpuProcessInfo => {
      const serverPid = serverPids.get(process.pid);
      return {
        pid: process.pid,
        name: process.name,
        gpu_memory_usage: whole(process.memoryMiB),
        model_name: serverPid === undefined ? null : modelsOf(serverPid, here),
        managed: serverPid !== undefined,
      };
    }),
    uuid: sample.uuid,
    name: sample.name,
    memory_total: whole(sample.memoryTotalMiB),
    memory_used: whole(sample.memoryUsedMiB),
    utilization: sample.utilization,
    temperature: sample.temperature,
    power_limit: oneDecimal(sample.powerLimit),
    simulated: sample.simulated,
    ...(sample.error === undefined ? {} : { error: sample.error }),
  };
}

function modelsOf(serverPid: number, tenants: readonly GpuTenant[]): string | null {
  const names = tenants.filter((tenant) => tenant.pid === serverPid).map((tenant) => tenant.modelName);
  return names.length === 0 ? null : [...new Set(names)].sort().join(', ');
}

function percent(part: number | null, of: number | null): number | null {
  return part === null || of === null || of === 0 ? null : oneDecimal((part / of) * 100);
}

function oneDecimal(value: number): number;
function oneDecimal(value: number | null): number | null;
function oneDecimal(value: number | null): number | null {
  return value === null ? null : Math.round(value * 10) / 10;
}

function whole(value: number | null): number | null {
  return value === null ? null : Math.round(value);
}
