import type { Unneeded } from '../../runners/unneeded.js';
import type { PlacementError } from '../../state/desired-state.js';

/** What serves, or once did, and nobody wants: a server of this service, or a model in one that stays. */
export interface Orphan {
  readonly backend: string;
  readonly what: Unneeded;
  /** When this run of the service first saw it. */
  readonly since: Date;
  /** When it is removed, unless somebody wants it by then; `null`: it is only reported. */
  readonly removalDue: Date | null;
  /** Why it could not be removed so far. */
  readonly error: PlacementError | undefined;
}
