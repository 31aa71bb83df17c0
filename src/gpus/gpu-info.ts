import type { GpuSample } from './gpu-provider.js';
import type { GpuOccupant } from './gpu-occupants.js';
import type { GpuHealthInfo, GpuInfo, GpuProcessInfo } from './gpus.dto.js';
import type { ProcessOwner } from './process-owners.js';

/** Whose a process on a GPU is. */
export interface Attribution extends ProcessOwner {
  /** Main pid of the server of this service that it descends from, whatever anybody else says. */
  readonly serverPid: number | null;
}

/** A reading as the API shows it. */
export function toGpuInfo(
  sample: GpuSample,
  occupants: readonly GpuOccupant[],
  owners: ReadonlyMap<number, Attribution>,
  health: GpuHealthInfo,
): GpuInfo {
  const here = occupants.filter(({ gpuId, offGpu }) => gpuId === sample.id && !offGpu);
  return {
    id: sample.id,
    memory_usage: percent(sample.memoryUsedMiB, sample.memoryTotalMiB),
    power_draw: oneDecimal(sample.powerDraw),
    processes: sample.processes.map((process): GpuProcessInfo => {
      const owner = owners.get(process.pid);
      const served = owner ? here.filter((occupant) => isOf(occupant, owner)) : [];
      return {
        pid: process.pid,
        name: process.name,
        gpu_memory_usage: whole(process.memoryMiB),
        model_name: listed(served.map(({ modelName }) => modelName)),
        placement: listed(served.map(({ placement }) => placement)),
        container: owner?.container ?? null,
        owner: owner?.user ?? null,
        managed: owner ? isManaged(owner) : false,
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
    health,
  };
}

function isOf(occupant: GpuOccupant, { serverName, serverPid }: Attribution): boolean {
  if (serverPid !== null) return occupant.pid === serverPid;
  return typeof serverName === 'string' && occupant.serverName === serverName;
}

function isManaged({ serverName, serverPid }: Attribution): boolean | null {
  if (serverPid !== null) return true;
  return serverName === undefined ? null : serverName !== null;
}

function listed(names: readonly string[]): string | null {
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
