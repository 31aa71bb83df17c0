import type { Config } from '../../config/schema.js';
import type { GpuProcess, GpuSample } from '../gpu-provider.js';
import type { GpuOccupant } from '../gpu-occupants.js';

type Simulation = Config['gpus']['simulated'];

const IDLE_MEMORY_MIB = 16;
const IDLE_POWER_SHARE = 0.08;
const IDLE_TEMPERATURE = 34;
const FULL_LOAD_TEMPERATURE = 78;
/** Percent of a GPU that one instance keeps busy. */
const INSTANCE_UTILIZATION = 6;
const MAX_UTILIZATION = 96;

/**
 * The reading of an invented GPU that has `placed` on it. The same placements always give the same reading. One without a
 * process holds nothing yet, so that the memory in use is that of the processes listed.
 */
export function simulatedGpu(id: number, simulation: Simulation, placed: readonly GpuOccupant[]): GpuSample {
  const occupants = placed.filter(({ pid }) => pid !== null);
  const instances = occupants.reduce((sum, occupant) => sum + occupant.instances, 0);
  const total = simulation.memory_total_mib;
  const utilization = Math.min(MAX_UTILIZATION, instances * INSTANCE_UTILIZATION);
  const load = utilization / 100;
  return {
    id,
    uuid: simulatedUuid(id),
    name: 'Simulated GPU',
    memoryTotalMiB: total,
    memoryUsedMiB: Math.min(total, IDLE_MEMORY_MIB + instances * simulation.instance_memory_mib),
    utilization,
    temperature: Math.round(IDLE_TEMPERATURE + load * (FULL_LOAD_TEMPERATURE - IDLE_TEMPERATURE)),
    powerDraw: simulation.power_limit_w * (IDLE_POWER_SHARE + load * (1 - IDLE_POWER_SHARE)),
    powerLimit: simulation.power_limit_w,
    processes: processesOf(occupants, simulation.instance_memory_mib),
    simulated: true,
  };
}

/** Of the GPU in this slot of the host. */
export function simulatedUuid(slot: number): string {
  return `GPU-00000000-0000-0000-0000-${String(slot).padStart(12, '0')}`;
}

/** One process per pid: a shared server holds the memory of all its models. */
function processesOf(occupants: readonly GpuOccupant[], instanceMemoryMiB: number): GpuProcess[] {
  const processes = new Map<number, { pid: number; name: string; memoryMiB: number }>();
  for (const { pid, serverName, modelName, instances } of occupants) {
    if (pid === null) continue;
    const process = processes.get(pid) ?? { pid, name: serverName ?? modelName, memoryMiB: 0 };
    process.memoryMiB += instances * instanceMemoryMiB;
    processes.set(pid, process);
  }
  return [...processes.values()].sort((a, b) => a.pid - b.pid);
}
