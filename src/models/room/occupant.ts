import type { GpuPolicy } from '../../runners/deployment.js';
import type { MemoryNeed } from '../../runners/memory-need.js';

/** A placement of this service, as whoever wants room on its GPU sees it. */
export interface Occupant {
  readonly modelName: string;
  readonly gpuId: number;
  /** Of that GPU; left out where it is not known. */
  readonly gpuUuid?: string;
  /** Main process of its server; `null` while it has none. */
  readonly pid: number | null;
  /** `leaving`: a stop is under way. */
  readonly state: 'starting' | 'running' | 'leaving';
  /** It runs, and has given memory back that it takes again when it wakes. */
  readonly sleeping?: boolean;
  /** What it takes at its peak, MiB; `null` where nobody knows. */
  readonly estimateMiB: number | null;
  readonly policy: GpuPolicy;
  /** It runs on no GPU, and is in nobody's way there; its server may be seen on the GPU all the same. */
  readonly offGpu?: boolean;
}

/** A process on a GPU that belongs to no server of this service. */
export interface ForeignProcess {
  readonly pid: number;
  readonly name: string;
  readonly memoryMiB: number | null;
}

/** One GPU's memory, and who holds it, by one reading. */
export interface GpuHoldings {
  readonly totalMiB: number;
  readonly usedMiB: number;
  /** Main pid of a server → what its processes hold, MiB; `null` where the driver does not tell. */
  readonly heldByServer: ReadonlyMap<number, number | null>;
  readonly foreign: readonly ForeignProcess[];
}

/** What a placement of a model asks of its GPU. */
export interface Claim {
  readonly need: MemoryNeed;
  readonly policy: GpuPolicy;
  readonly offGpu?: boolean;
}
