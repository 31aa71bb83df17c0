import { DomainError, messageOf } from '../../common/errors.js';
import type { PlacementError } from '../../state/desired-state.js';
import { nextStatus, type PlacementEvent, type PlacementStatus } from './placement-state.js';

/** A change of a placement: the one stream that logs, status, GPU tenants and metrics read from. */
export interface PlacementTransition {
  readonly modelName: string;
  readonly backend: string;
  readonly gpuId: number;
  readonly from: PlacementStatus | null;
  readonly to: PlacementStatus;
  readonly event: PlacementEvent;
  readonly reason: string;
  readonly error: PlacementError | undefined;
  readonly at: Date;
}

/** Memory of one GPU, MiB, that the processes of a placement's server held before its stop. */
export interface ReleasedMemory {
  /** What came back. */
  readonly releasedMiB: number;
  /** What they still hold: its other models, and what the server keeps for itself. */
  readonly heldMiB: number;
}

/** One model on its GPU, in memory, with what more GPUs its server needs. Its status changes through `apply` alone. */
export class Placement {
  private current: PlacementStatus = 'STOPPED';
  private failure: PlacementError | undefined;
  pid: number | null = null;
  /** Of the server that is to be cleaned up after an ERROR. */
  formerPid: number | null = null;
  port: number | null = null;
  serverName: string | null = null;
  /** How far a start or a drain is, in words. */
  progress: string | undefined;
  /** RUNNING, and the backend says that it sleeps. */
  sleeping = false;
  /** ERROR, and the backend has not let go yet. */
  needsRelease = false;
  /** A stop was accepted, and the backend may work off its requests first. */
  isDraining = false;
  /** The backend has let go; its memory is still to be looked after. */
  hasLetGo = false;
  /** What its stop did to the memory of the GPU; `null`: unknown. */
  releasedMemory: ReleasedMemory | null = null;
  updatedAt: Date;

  /**
   * @param gpuId the GPU it was started on: no other placement of its model has it
   * @param gpuIds all that it holds, that one among them
   */
  constructor(
    readonly gpuId: number,
    readonly gpuIds: readonly number[],
    readonly createdAt: Date,
  ) {
    this.updatedAt = createdAt;
  }

  get status(): PlacementStatus {
    return this.current;
  }

  get error(): PlacementError | undefined {
    return this.failure;
  }

  /** Wanted to serve: what runs or starts. */
  get isActive(): boolean {
    return this.current === 'STARTING' || this.current === 'RUNNING';
  }

  holds(gpuId: number): boolean {
    return this.gpuIds.includes(gpuId);
  }

  holdsAnyOf(gpuIds: readonly number[]): boolean {
    return gpuIds.some((gpuId) => this.holds(gpuId));
  }

  /** Returns the status before. */
  apply(event: PlacementEvent, at: Date, error?: PlacementError): PlacementStatus {
    const from = this.current;
    this.current = nextStatus(from, event);
    this.failure = this.current === 'ERROR' ? error : undefined;
    this.updatedAt = at;
    if (this.current !== 'STARTING') this.progress = undefined;
    if (this.current !== 'RUNNING') this.sleeping = false;
    if (this.current === 'ERROR' || this.current === 'STOPPED') {
      this.formerPid = this.pid ?? this.formerPid;
      this.pid = null;
      this.port = null;
      this.serverName = null;
    }
    return from;
  }
}

/** Anything thrown, as a placement shows it. */
export function toPlacementError(error: unknown): PlacementError {
  if (!(error instanceof DomainError)) return { code: 'INTERNAL_ERROR', message: messageOf(error) };
  const log = error.facts.log;
  return { code: error.code, message: error.message, ...(isLines(log) && { log }) };
}

function isLines(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((line) => typeof line === 'string');
}
