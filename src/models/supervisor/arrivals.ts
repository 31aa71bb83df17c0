/** A start whose checks are under way. */
interface Arrival {
  readonly modelName: string;
  readonly gpuIds: readonly number[];
}

/**
 * Keeps commands for one placement in the order of their arrival: the checks of a start take time outside of any lock, and
 * a stop that came after the start must not be done before it. Starts do not wait for each other.
 */
export class Arrivals {
  private readonly underWay = new Map<Arrival, Promise<unknown>>();

  /** `work`'s result; later commands for these GPUs wait for its end. */
  async during<T>(arrival: Arrival, work: () => Promise<T>): Promise<T> {
    const done = work();
    this.underWay.set(arrival, done);
    try {
      return await done;
    } finally {
      this.underWay.delete(arrival);
    }
  }

  /** Resolves when the starts that came before have been answered; each of them has its own deadline. */
  async before(modelName: string, gpuId: number): Promise<void> {
    const earlier = [...this.underWay].filter(
      ([arrival]) => arrival.modelName === modelName && arrival.gpuIds.includes(gpuId),
    );
    await Promise.allSettled(earlier.map(([, done]) => done));
  }
}
