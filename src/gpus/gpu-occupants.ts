import { Injectable } from '@nestjs/common';

/** A placement as one of its GPUs sees it: who serves on it, and under which pid. */
export interface GpuOccupant {
  readonly modelName: string;
  readonly gpuId: number;
  /** Its name: `MAM@0`, after the GPU it was started on. */
  readonly placement: string;
  /** Main process of the server; `null` while it has none yet. */
  readonly pid: number | null;
  /** Name of the server's container or process. */
  readonly serverName: string | null;
  /** Execution instances on this GPU. */
  readonly instances: number;
  /** None of these is on the GPU: it is in the placement's name alone. */
  readonly offGpu?: boolean;
}

/**
 * What the supervisor has placed on the GPUs. The models module writes it at every change; `/gpus` attributes
 * processes by it, the process module knows managed pids by it, and the simulated GPUs react to it.
 */
@Injectable()
export class GpuOccupants {
  private current: readonly GpuOccupant[] = [];

  replace(occupants: readonly GpuOccupant[]): void {
    this.current = occupants;
  }

  list(): readonly GpuOccupant[] {
    return this.current;
  }
}
