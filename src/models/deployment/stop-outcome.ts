/** Memory of one GPU, MiB, that the processes of a placement's server held before its stop. */
export interface ReleasedMemory {
  /** What came back. */
  readonly releasedMiB: number;
  /** What they still hold: its other models, and what the server keeps for itself. */
  readonly heldMiB: number;
}

/** What became of the drain that a stop was asked for. */
export interface DrainOutcome {
  /** All requests were worked off, as far as the backend counts them. */
  readonly drained: boolean;
  /** Where they were not: why, in one sentence. */
  readonly reason?: string;
}
