import { Mutex } from 'async-mutex';
import { orAborted } from '../common/deadline.js';

/** One thing at a time per name, in the order of asking; different names side by side. */
export class NameLocks {
  private readonly mutexes = new Map<string, { readonly mutex: Mutex; users: number }>();

  /**
   * `work`'s result, run when all earlier work under `name` has ended.
   * @throws the signal's reason when it aborts while waiting; `work` does not run then. Whatever `work` throws.
   */
  async run<T>(name: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    const entry = this.mutexes.get(name) ?? { mutex: new Mutex(), users: 0 };
    this.mutexes.set(name, entry);
    entry.users += 1;
    const turn = entry.mutex.acquire();
    try {
      await orAborted(turn, signal);
      return await work();
    } finally {
      // Also when the wait was given up: the turn comes, and is passed on at once.
      void turn.then((release) => {
        release();
      });
      entry.users -= 1;
      if (entry.users === 0) this.mutexes.delete(name);
    }
  }
}
