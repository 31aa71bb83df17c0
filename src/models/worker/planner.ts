import type { PlacementPhase } from '../../runners/observation.js';

/** What the planner needs to know of a deployment; all times are monotonic milliseconds. */
export interface PlanInput {
  /** GPUs the backend has still to let go of. */
  readonly toRelease: readonly number[];
  /** GPUs that are to serve and that nobody has to let go of first, with what the backend says of each. */
  readonly wanted: ReadonlyMap<number, PlacementPhase>;
  /** A release that failed is not tried again earlier than this. */
  readonly releaseNotBefore: number;
  /** The same of a start. */
  readonly startNotBefore: number;
  /** It was tried often enough. */
  readonly exhausted: boolean;
  /** When the patience with a backend ends that says it is at it. */
  readonly waitDeadline: number;
  /** When the patience with a server ends that does not answer. */
  readonly silenceDeadline: number;
  /** Its requests fail or do not get on, and that stays. */
  readonly isStuck: boolean;
  readonly now: number;
}

export type Step =
  | { readonly kind: 'release'; readonly gpuIds: readonly number[] }
  | { readonly kind: 'start' }
  /** The server has not answered for too long: it is ended by force, and started like any that died. */
  | { readonly kind: 'recycle' }
  /** All answers and nothing gets done: it is ended by the smallest means, and started like any that died. */
  | { readonly kind: 'heal' }
  /** What does not serve by now never will: it was tried often enough, or the backend has had its time. */
  | { readonly kind: 'give-up'; readonly cause: 'exhausted' | 'late' }
  /** Nothing before `delayMs` have passed. */
  | { readonly kind: 'wait'; readonly delayMs: number }
  | { readonly kind: 'none' };

/**
 * The next step towards the desired state: a pure function, the same for a start, a stop, a crashed server and a
 * restart of this service. Releases go first: what holds a GPU must let go before anything is put on it. A release
 * that fails does not hold up the GPUs it is not about.
 */
export function plan(input: PlanInput): Step {
  const { toRelease, now } = input;
  const releaseIn = input.releaseNotBefore - now;
  if (toRelease.length > 0 && releaseIn <= 0) return { kind: 'release', gpuIds: toRelease };
  const delays = toRelease.length > 0 ? [releaseIn] : [];

  const phases = [...input.wanted.values()];
  if (phases.includes('absent')) {
    const startIn = input.startNotBefore - now;
    if (input.exhausted) return { kind: 'give-up', cause: 'exhausted' };
    if (startIn <= 0) return { kind: 'start' };
    delays.push(startIn);
  } else if (phases.includes('starting') && now >= input.waitDeadline) {
    return { kind: 'give-up', cause: 'late' };
  } else if (phases.includes('silent')) {
    const recycleIn = input.silenceDeadline - now;
    if (recycleIn <= 0) return { kind: 'recycle' };
    delays.push(recycleIn);
  } else if (
    input.isStuck &&
    delays.length === 0 &&
    phases.length > 0 &&
    phases.every((phase) => phase === 'ready')
  ) {
    return { kind: 'heal' };
  }
  return delays.length > 0 ? { kind: 'wait', delayMs: Math.min(...delays) } : { kind: 'none' };
}
