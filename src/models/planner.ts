import type { PlacementPhase } from '../runners/runner.js';

/** What the planner needs to know of a deployment; all times are monotonic milliseconds. */
export interface PlanInput {
  /** GPUs the backend has still to let go of. */
  readonly toRelease: readonly number[];
  /** GPUs that are to serve, with what the backend says of each. */
  readonly wanted: ReadonlyMap<number, PlacementPhase>;
  /** No start, and no release that failed before, is tried earlier than this. */
  readonly notBefore: number;
  /** STARTING placements that only wait for the backend, with the moment their patience ends. */
  readonly waitDeadline: number;
  readonly now: number;
}

export type Step =
  | { readonly kind: 'release'; readonly gpuIds: readonly number[] }
  | { readonly kind: 'start' }
  /** The backend has had its time. */
  | { readonly kind: 'give-up' }
  /** Nothing before `delayMs` have passed. */
  | { readonly kind: 'wait'; readonly delayMs: number }
  | { readonly kind: 'none' };

/**
 * The next step towards the desired state: a pure function, the same for a start, a stop, a crashed server and a
 * restart of this service. Releases go first: what holds a GPU must let go before anything is put on it.
 */
export function plan(input: PlanInput): Step {
  const delayMs = input.notBefore - input.now;
  if (input.toRelease.length > 0) {
    return delayMs > 0 ? { kind: 'wait', delayMs } : { kind: 'release', gpuIds: input.toRelease };
  }
  const phases = [...input.wanted.values()];
  if (phases.includes('absent')) return delayMs > 0 ? { kind: 'wait', delayMs } : { kind: 'start' };
  if (phases.includes('starting') && input.now >= input.waitDeadline) return { kind: 'give-up' };
  return { kind: 'none' };
}
