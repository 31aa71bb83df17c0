import { orAborted } from './deadline.js';

interface Flight<T> {
  readonly result: Promise<T>;
  readonly end: AbortController;
  waiting: number;
}

/**
 * Work that all who ask for the same at once share; who asks when it is done has it done anew. Nobody who gives up ends it
 * for others; it ends with the last.
 */
export class SharedWork<T> {
  private readonly flights = new Map<string, Flight<T>>();

  /** @throws the signal's reason; what `work` throws */
  async run(key: string, signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    const flight = this.flights.get(key) ?? this.begin(key, work);
    flight.waiting += 1;
    try {
      return await orAborted(flight.result, signal);
    } finally {
      flight.waiting -= 1;
      if (flight.waiting === 0) this.end(key, flight);
    }
  }

  private begin(key: string, work: (signal: AbortSignal) => Promise<T>): Flight<T> {
    const end = new AbortController();
    const flight: Flight<T> = { result: work(end.signal), end, waiting: 0 };
    this.flights.set(key, flight);
    const done = (): void => {
      this.forget(key, flight);
    };
    flight.result.then(done, done);
    return flight;
  }

  private end(key: string, flight: Flight<T>): void {
    this.forget(key, flight);
    flight.end.abort(new Error('nobody waits for it any more'));
  }

  private forget(key: string, flight: Flight<T>): void {
    if (this.flights.get(key) === flight) this.flights.delete(key);
  }
}
