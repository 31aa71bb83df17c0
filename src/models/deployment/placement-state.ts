import { DomainError } from '../../common/errors.js';
import type { PlacementError } from '../../state/desired-state.js';
import type { ReleasedMemory } from './stop-outcome.js';

/** The seed's `ModelInstanceStatus`. */
export const PLACEMENT_STATUSES = ['STARTING', 'RUNNING', 'STOPPED', 'ERROR'] as const;
export type PlacementStatus = (typeof PLACEMENT_STATUSES)[number];

/** What can happen to a placement. */
export type PlacementEvent =
  /** A start was accepted. */
  | 'start'
  /** The backend itself says that the model is ready. */
  | 'ready'
  /** The server died, or the model vanished: it is brought back. */
  | 'lost'
  /** It cannot be made to serve, or could not be stopped. */
  | 'failed'
  /** An accepted stop, after the backend let go. */
  | 'released';

/** Every allowed transition; what is not here cannot happen. */
const TRANSITIONS = {
  STARTING: { ready: 'RUNNING', failed: 'ERROR', released: 'STOPPED' },
  RUNNING: { lost: 'STARTING', failed: 'ERROR', released: 'STOPPED' },
  ERROR: { start: 'STARTING', failed: 'ERROR', released: 'STOPPED' },
  STOPPED: { start: 'STARTING' },
} as const satisfies Record<PlacementStatus, Partial<Record<PlacementEvent, PlacementStatus>>>;

export class IllegalTransitionError extends DomainError {
  readonly code = 'ILLEGAL_TRANSITION';
  readonly kind = 'internal';
}

/** @throws IllegalTransitionError: a defect of this service, never the caller's */
export function nextStatus(from: PlacementStatus, event: PlacementEvent): PlacementStatus {
  const allowed: Partial<Record<PlacementEvent, PlacementStatus>> = TRANSITIONS[from];
  const to = allowed[event];
  if (to === undefined) throw new IllegalTransitionError(`A placement cannot go from ${from} by "${event}".`);
  return to;
}

/** How far a stop is. */
type Leaving = 'draining' | 'stopping' | 'proving';

/**
 * The state of a placement: status, occupants and views follow from it alone.
 *
 * | kind | status | the placement |
 * |---|---|---|
 * | `starting` | STARTING | is to serve, and the backend has not said yet that it does |
 * | `running` | RUNNING | serves |
 * | `failed` | ERROR | does not serve; `isUnclean`: the backend has not let go of what is left of it |
 * | `draining` | RUNNING | is stopped, and works off its requests first |
 * | `stopping` | as before | is stopped: the backend is to let go |
 * | `proving` | as before | is stopped: the backend has let go, and its memory is looked after |
 * | `stopped` | STOPPED | is gone |
 */
export type PlacementState =
  | {
      readonly kind: 'starting';
      /** The runner's start has succeeded; the backend has not been seen to serve it since. */
      readonly isStarted: boolean;
    }
  | {
      readonly kind: 'running';
      /** The backend says that it sleeps. */
      readonly sleeping: boolean;
      /** Why it does not seem to answer requests, though its server is well. */
      readonly degraded?: string | undefined;
    }
  | { readonly kind: 'failed'; readonly error: PlacementError | undefined; readonly isUnclean: boolean }
  | {
      readonly kind: Leaving;
      /** As it was when the stop began; ERROR once a try has failed. */
      readonly status: Exclude<PlacementStatus, 'STOPPED'>;
      readonly error: PlacementError | undefined;
      /** As it was when the stop began, while it is RUNNING. */
      readonly sleeping: boolean;
    }
  | {
      readonly kind: 'stopped';
      /** What its stop did to the memory of its GPUs; `null`: unknown. */
      readonly memory: ReleasedMemory | null;
    };

export function statusOf(state: PlacementState): PlacementStatus {
  switch (state.kind) {
    case 'starting':
      return 'STARTING';
    case 'running':
      return 'RUNNING';
    case 'failed':
      return 'ERROR';
    case 'draining':
    case 'stopping':
    case 'proving':
      return state.status;
    case 'stopped':
      return 'STOPPED';
    default:
      return state satisfies never;
  }
}

export function isLeaving(state: PlacementState): state is Extract<PlacementState, { kind: Leaving }> {
  return state.kind === 'draining' || state.kind === 'stopping' || state.kind === 'proving';
}
