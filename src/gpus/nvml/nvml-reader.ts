import type { GpuProcess, GpuSample } from '../gpu-provider.js';
import { faultsIn, type GpuFault, LOST, RESET_REQUIRED } from '../health/faults.js';
import { NvmlCode, type Nvml, type NvmlDevice, type NvmlProcessKind, type NvmlResult } from './nvml.js';
import { NO_READINGS } from '../no-readings.js';

const MIB = 2 ** 20;
const PROCESS_KINDS: readonly NvmlProcessKind[] = ['Compute', 'Graphics', 'MPSCompute'];

/** The device has no such reading, which is nothing to report. */
const ABSENT: ReadonlySet<number> = new Set([
  NvmlCode.NOT_SUPPORTED,
  NvmlCode.NOT_FOUND,
  NvmlCode.FUNCTION_NOT_FOUND,
  NvmlCode.NO_DATA,
]);
/** The device gives no readings any more. */
const BROKEN_FAULTS: ReadonlyMap<number, GpuFault> = new Map([
  [NvmlCode.GPU_IS_LOST, LOST],
  [NvmlCode.RESET_REQUIRED, RESET_REQUIRED],
]);

/** NVML must be initialised (again) before it gives anything. */
export class NvmlUninitializedError extends Error {}

class BrokenGpuError extends Error {
  constructor(readonly code: number) {
    super();
  }
}

export interface GpuReading {
  readonly sample: GpuSample;
  /** The GPU fell off the bus: only a new initialisation finds it, should it come back. */
  readonly lost: boolean;
}

/** One value, or why not; collects what is worth telling. */
class Readings {
  readonly faults: string[] = [];

  constructor(private readonly nvml: Nvml) {}

  /**
   * `null` where the device does not tell.
   * @throws NvmlUninitializedError, BrokenGpuError
   */
  value<T>(what: string, result: NvmlResult<T>): T | null {
    if (result.ok) return result.value;
    if (result.code === NvmlCode.UNINITIALIZED) throw new NvmlUninitializedError();
    if (BROKEN_FAULTS.has(result.code)) throw new BrokenGpuError(result.code);
    if (!ABSENT.has(result.code)) this.faults.push(`${what}: ${this.nvml.errorString(result.code)}`);
    return null;
  }
}

/**
 * Everything NVML tells about the GPU at `index`. A reading that fails is `null` and its cause in `error`; a GPU that
 * gives none at all keeps its identity where it was still told.
 * @throws NvmlUninitializedError
 */
export function readGpu(nvml: Nvml, index: number, nameOf: (pid: number) => string): GpuReading {
  const blank = unreadable(index);
  const handle = nvml.device(index);
  if (!handle.ok) {
    if (handle.code === NvmlCode.UNINITIALIZED) throw new NvmlUninitializedError();
    return broken(blank, nvml, handle.code);
  }
  let identity: Pick<GpuSample, 'uuid' | 'name'> = blank;
  try {
    const readings = new Readings(nvml);
    identity = {
      uuid: readings.value('UUID', nvml.uuid(handle.value)),
      name: readings.value('name', nvml.name(handle.value)),
    };
    const faults = readFaults(nvml, handle.value, readings);
    const sample = {
      ...{ ...blank, ...identity, ...readDevice(nvml, handle.value, readings, nameOf) },
      ...(faults.length > 0 && { faults }),
    };
    const error = readings.faults.join('; ');
    return { sample: error === '' ? sample : { ...sample, error }, lost: false };
  } catch (error) {
    if (!(error instanceof BrokenGpuError)) throw error;
    return broken({ ...blank, ...identity }, nvml, error.code);
  }
}

function readDevice(nvml: Nvml, device: NvmlDevice, readings: Readings, nameOf: (pid: number) => string) {
  const memory = readings.value('memory', nvml.memory(device));
  return {
    memoryTotalMiB: memory && memory.total / MIB,
    memoryUsedMiB: memory && memory.used / MIB,
    utilization: readings.value('utilization', nvml.utilization(device)),
    temperature: readings.value('temperature', nvml.temperature(device)),
    powerDraw: watts(readings.value('power draw', nvml.powerUsage(device))),
    powerLimit: watts(readings.value('power limit', nvml.powerLimit(device))),
    processes: readProcesses(nvml, device, readings, nameOf),
  } satisfies Partial<GpuSample>;
}

function readFaults(nvml: Nvml, device: NvmlDevice, readings: Readings): readonly GpuFault[] {
  const rows = readings.value('remapped rows', nvml.remappedRows(device));
  return faultsIn({
    clockReasons: readings.value('clock reasons', nvml.clockReasons(device)),
    eccUncorrected: readings.value('memory errors', nvml.uncorrectedErrors(device)),
    remapPending: rows?.isPending ?? null,
    remapFailure: rows?.hasFailed ?? null,
    retiredPagesPending: readings.value('retired pages', nvml.retiredPagesPending(device)),
  });
}

/** A process that computes and draws is in both lists, with the same memory in each. */
function readProcesses(
  nvml: Nvml,
  device: NvmlDevice,
  readings: Readings,
  nameOf: (pid: number) => string,
): GpuProcess[] {
  const memoryOf = new Map<number, number | null>();
  for (const kind of PROCESS_KINDS) {
    for (const { pid, usedMemory } of readings.value('processes', nvml.processes(device, kind)) ?? []) {
      const known = memoryOf.get(pid) ?? null;
      memoryOf.set(pid, usedMemory === null ? known : Math.max(usedMemory, known ?? 0));
    }
  }
  return [...memoryOf]
    .sort(([a], [b]) => a - b)
    .map(([pid, bytes]) => ({ pid, name: nameOf(pid), memoryMiB: bytes === null ? null : bytes / MIB }));
}

function watts(milliwatts: number | null): number | null {
  return milliwatts === null ? null : milliwatts / 1000;
}

function unreadable(id: number): GpuSample {
  return {
    id,
    uuid: null,
    name: null,
    ...NO_READINGS,
    simulated: false,
  };
}

function broken(sample: GpuSample, nvml: Nvml, code: number): GpuReading {
  const fault = BROKEN_FAULTS.get(code);
  return {
    sample: {
      ...sample,
      error: `GPU ${sample.id} cannot be read: ${nvml.errorString(code)}`,
      ...(fault && { faults: [fault] }),
    },
    lost: code === NvmlCode.GPU_IS_LOST,
  };
}
