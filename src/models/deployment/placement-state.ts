import { DomainError } from '../../common/errors.js';

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
