/** Return codes of NVML that decide what to do; every other code is only reported, in NVML's own words. */
export const NvmlCode = {
  SUCCESS: 0,
  UNINITIALIZED: 1,
  NOT_SUPPORTED: 3,
  NOT_FOUND: 6,
  INSUFFICIENT_SIZE: 7,
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
  /** Path of a process' program. */
  processName(pid: number): NvmlResult<string>;
}
