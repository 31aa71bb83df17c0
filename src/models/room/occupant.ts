import type { GpuPolicy } from '../../runners/runner.js';

/** A placement of this service, as whoever wants room on its GPU sees it. */
export interface Occupant {
  readonly modelName: string;
  readonly gpuId: number;
  /** Main process of its server; `null` while it has none. */
  readonly pid: number | null;
  /** `leaving`: a stop is under way. */
  readonly state: 'starting' | 'running' | 'leaving';
  /** It runs, and has given memory back that it takes again when it wakes. */
  readonly sleeping?: boolean;
  /** What it takes at its peak, MiB; `null` where nobody knows. */
  readonly estimateMiB: number | null;
  readonly policy: GpuPolicy;
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
