import type { Examiner } from '../common/examiner.js';
import type { Deployment, GpuRef } from './deployment.js';

/** What a runner may know and use while it works on a deployment. */
export interface RunnerContext {
  /** Aborts when the work is no longer wanted; the runner returns soon after. */
  readonly signal: AbortSignal;
  /** Every GPU of the host. */
  readonly gpus: readonly GpuRef[];
  /** What is wanted of this backend right now, all models; a server that none of these needs may go. */
  readonly wanted: () => readonly Deployment[];
  /** Tells in words how far it is ("pulling …: 41 %"). */
  readonly onProgress: (progress: string) => void;
}

/** The same, for the checks of a start. */
export interface PreflightContext extends RunnerContext {
  /** Takes the checks one by one; left out, the first that fails ends them. */
  readonly examine?: Examiner;
}

/** What a runner may know and use while a start waits for its turn. */
export interface WaitContext extends Pick<RunnerContext, 'signal' | 'wanted'> {
  /** Tells in words what is waited for. */
  readonly tell: (words: string) => void;
}

/** The same, for a stop. */
export interface StopContext extends RunnerContext {
  /** What is left of the drain, ms: for so long, requests under way may hold up the end of a server. */
  readonly patienceMs: number;
  /** Tells that `patienceMs` were over before the requests were. */
  readonly onCutShort?: () => void;
}
