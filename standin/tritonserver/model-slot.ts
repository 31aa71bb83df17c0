import type { ServedModel } from './served-model.js';

/** States of a model version in the repository index. */
export type ModelState = 'READY' | 'LOADING' | 'UNLOADING' | 'UNAVAILABLE';

/** The reason that `ready` doesn't hold against a model. */
export const UNLOADED = 'unloaded';

/**
 * All that the server knows of one model name. What serves, what loads and what is being unloaded can
 * exist side by side; `state` is what of it the index shows.
 */
export class ModelSlot {
  /** What answers requests. */
  serving: ServedModel | undefined;
  /** A load is under way. */
  loading = false;
  /** What the last unload took away, until it is gone. */
  unloading: ServedModel | undefined;
  /** Why the last load failed, or why there is nothing. */
  reason: string | undefined;
  /** The versions the index shows. */
  versions: readonly string[] = [];

  get state(): ModelState {
    if (this.serving) return 'READY';
    if (this.loading) return 'LOADING';
    return this.unloading ? 'UNLOADING' : 'UNAVAILABLE';
  }
}
