/** A call of the runner, with a deadline, ms, and what follows from its end. */
export interface RunnerCall {
  readonly limitMs: number;
  readonly call: (signal: AbortSignal) => Promise<void>;
  readonly onSuccess: () => void | Promise<void>;
  /** Not where it was interrupted: that is neither. */
  readonly onFailure: (error: unknown) => void | Promise<void>;
}
