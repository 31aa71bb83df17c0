/** A call of the runner, or a wait for one, with a deadline, ms, and what follows from its end. */
export interface RunnerCall {
  readonly limitMs: number;
  /** GPUs whose servers it may disturb; left out: all of the deployment. */
  readonly gpuIds?: readonly number[];
  readonly call: (signal: AbortSignal) => Promise<void>;
  readonly onSuccess: () => void | Promise<void>;
  /** Not where it was interrupted: that is neither. */
  readonly onFailure: (error: unknown) => void | Promise<void>;
}
