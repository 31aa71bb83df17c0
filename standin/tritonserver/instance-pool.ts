/** The execution instances of a model: each works on one request, further requests queue in order. */
export class InstancePool {
  private busy = 0;
  private readonly queue: (() => void)[] = [];
  private readonly idleWaiters: (() => void)[] = [];

  constructor(private size: number) {}

  /** Requests that wait for an instance. */
  get pending(): number {
    return this.queue.length;
  }

  /** Requests that wait or are worked on. */
  get inFlight(): number {
    return this.busy + this.queue.length;
  }

  /** Runs `work` on an instance as soon as one is free. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.busy < this.size) this.busy += 1;
    else {
      // Whoever takes it out of the queue has counted it as busy.
      await new Promise<void>((resolve) => this.queue.push(resolve));
    }
    try {
      return await work();
    } finally {
      this.busy -= 1;
      this.startQueued();
      if (this.inFlight === 0) for (const resolve of this.idleWaiters.splice(0)) resolve();
    }
  }

  /** Adds or drops instances; one at work is dropped when it has finished. */
  resize(size: number): void {
    this.size = size;
    this.startQueued();
  }

  /** Resolves when no request waits or is worked on. */
  async idle(): Promise<void> {
    if (this.inFlight > 0) await new Promise<void>((resolve) => this.idleWaiters.push(resolve));
  }

  private startQueued(): void {
    while (this.busy < this.size) {
      const start = this.queue.shift();
      if (!start) return;
      this.busy += 1;
      start();
    }
  }
}
