/** Return codes of NVML that decide what to do; every other code is only reported, in NVML's own words. */
export const NvmlCode = {
  SUCCESS: 0,
  UNINITIALIZED: 1,
  NOT_SUPPORTED: 3,
  NOT_FOUND: 6,
  INSUFFICIENT_SIZE: 7,
  TIMEOUT: 10,
  FUNCTION_NOT_FOUND: 13,
  GPU_IS_LOST: 15,
  RESET_REQUIRED: 16,
  NO_DATA: 21,
  ARGUMENT_VERSION_MISMATCH: 25,
} as const;

/** A value, or the `nvmlReturn_t` that came instead of it. */
export type NvmlResult<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly code: number };

/** `nvmlDevice_t`: valid until the library is shut down or the GPU is lost. */
export type NvmlDevice = bigint;

/** Bytes. `used` is without what driver and firmware reserve, as nvidia-smi shows it, where the library tells. */
export interface NvmlMemory {
  readonly total: number;
  readonly used: number;
}

export interface NvmlProcess {
  readonly pid: number;
  /** Bytes; `null` is NVML_VALUE_NOT_AVAILABLE. */
  readonly usedMemory: number | null;
}

/** Rows of its memory that the GPU has replaced, or is to. */
export interface NvmlRemappedRows {
  /** A reset has to come first. */
  readonly isPending: boolean;
  readonly hasFailed: boolean;
}

/** `nvmlEventSet_t`. */
export type NvmlEventSet = bigint;

/** An Xid error of a GPU. */
export interface NvmlXid {
  readonly device: NvmlDevice;
  readonly xid: number;
}

export type NvmlProcessKind = 'Compute' | 'Graphics' | 'MPSCompute';

/** The calls of NVIDIA's management library that the service needs; each blocks its thread until it returns. */
export interface Nvml {
  /** `nvmlInit_v2`; its return code. */
  init(): number;
  /** NVIDIA's text for a return code. */
  errorString(code: number): string;
  /** GPUs of the host, those included that this user may not read. */
  deviceCount(): NvmlResult<number>;
  /** The GPU at an index in PCI bus order. */
  device(index: number): NvmlResult<NvmlDevice>;
  uuid(device: NvmlDevice): NvmlResult<string>;
  name(device: NvmlDevice): NvmlResult<string>;
  memory(device: NvmlDevice): NvmlResult<NvmlMemory>;
  /** Percent of the time in which a kernel ran. */
  utilization(device: NvmlDevice): NvmlResult<number>;
  /** °C. */
  temperature(device: NvmlDevice): NvmlResult<number>;
  /** mW. */
  powerUsage(device: NvmlDevice): NvmlResult<number>;
  /** mW. */
  powerLimit(device: NvmlDevice): NvmlResult<number>;
  processes(device: NvmlDevice, kind: NvmlProcessKind): NvmlResult<readonly NvmlProcess[]>;
  /** Why its clocks are as they are: bits of `nvmlClocksEventReason…`. */
  clockReasons(device: NvmlDevice): NvmlResult<number>;
  /** Uncorrectable memory errors since the driver was loaded. */
  uncorrectedErrors(device: NvmlDevice): NvmlResult<number>;
  remappedRows(device: NvmlDevice): NvmlResult<NvmlRemappedRows>;
  /** Pages of its memory wait for a reset to be retired. */
  retiredPagesPending(device: NvmlDevice): NvmlResult<boolean>;
  createEventSet(): NvmlResult<NvmlEventSet>;
  /** From now on, Xid errors of the GPU come into the set; a return code. */
  registerXids(device: NvmlDevice, set: NvmlEventSet): number;
  /** The next Xid error, in a thread of its own; TIMEOUT after `timeoutMs` without one. */
  nextXid(set: NvmlEventSet, timeoutMs: number): Promise<NvmlResult<NvmlXid>>;
  /** Path of a process' program. */
  processName(pid: number): NvmlResult<string>;
}
