/** Runs work for one key strictly in order, and for different keys side by side. */
export class KeyedQueue {
  private readonly tails = new Map<string, Promise<void>>();

  /** Runs `work` after all that was queued for `key` before; resolves or rejects as it does. */
  run(key: string, work: () => Promise<void> | void): Promise<void> {
    const result = (this.tails.get(key) ?? Promise.resolve()).then(work);
    const tail = result
      .catch(() => undefined) // whoever queued it is told by `result`; the next in line starts all the same
      .then(() => {
        if (this.tails.get(key) === tail) this.tails.delete(key);
      });
    this.tails.set(key, tail);
    return result;
  }
}
