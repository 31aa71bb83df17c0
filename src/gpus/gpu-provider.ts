import { DomainError } from '../common/errors.js';
import type { GpuFault } from './health/faults.js';

/** A process that holds memory of a GPU. */
export interface GpuProcess {
  readonly pid: number;
  readonly name: string;
  /** MiB; `null` where the driver does not tell. */
  readonly memoryMiB: number | null;
}

/** One reading of one GPU. A reading the device does not support, or that failed, is `null`. */
export interface GpuSample {
  /** NVML index: PCI bus order. */
  readonly id: number;
  readonly uuid: string | null;
  readonly name: string | null;
  readonly memoryTotalMiB: number | null;
  readonly memoryUsedMiB: number | null;
  /** Percent of the time in which a kernel ran, 0–100. */
  readonly utilization: number | null;
  /** °C. */
  readonly temperature: number | null;
  /** W. */
  readonly powerDraw: number | null;
  /** W. */
  readonly powerLimit: number | null;
  readonly processes: readonly GpuProcess[];
  readonly simulated: boolean;
  /** Why this GPU could not be read, in words; the others are read all the same. */
  readonly error?: string;
  /** What speaks against this GPU; left out: nothing, as far as it tells. */
  readonly faults?: readonly GpuFault[];
  /** Xid errors since the reading before; left out: none. */
  readonly xids?: readonly number[];
}

/** Where GPU readings come from: `nvml` or `simulated` (`gpus.source` in the configuration). */
export abstract class GpuProvider {
  /**
   * A fresh reading of every GPU, by id.
   * @throws NvmlNotInstalledError, GpuReadError
   */
  abstract sample(signal: AbortSignal): Promise<readonly GpuSample[]>;
  /** Ends whatever the provider holds (library, worker thread). */
  abstract close(): Promise<void>;
}

/** The seed's 501: the monitoring library is not on this host. */
export class NvmlNotInstalledError extends DomainError {
  readonly code = 'NVML_NOT_INSTALLED';
  readonly kind = 'not_implemented';
}

/** The library is there, but gives no readings (driver not loaded, no permission, timed out). */
export class GpuReadError extends DomainError {
  readonly code = 'GPU_READ_FAILED';
  readonly kind = 'internal';
}
