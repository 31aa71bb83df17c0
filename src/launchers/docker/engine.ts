import { Agent } from 'node:http';
import { inspect } from 'node:util';
import type Docker from 'dockerode';
import { within } from '../../common/deadline.js';
import { asEngineError, NoAnswerError, statusOf } from './engine-errors.js';

export interface EngineOptions {
  readonly socketPath: string;
  /** Longest time of a call. */
  readonly requestTimeoutMs: number;
}

/**
 * Agents whose connections docker-modem does not write out: before every request it makes a text of all that its options lead
 * to, for a log that is off. Through an agent's sockets that is most of what Node has loaded, and hundreds of milliseconds.
 */
class UnprintedAgent extends Agent {
  [inspect.custom](): string {
    return 'Agent';
  }
}

/** A call of the Engine; passes `abortSignal` on to dockerode. */
export type EngineCall<T> = (docker: Docker, abortSignal: AbortSignal) => Promise<T>;

/** The Docker Engine behind a socket. Every call has a deadline, and ends soon after its caller's signal aborts. */
export class Engine {
  readonly socketPath: string;
  readonly requestTimeoutMs: number;
  private client: Promise<Docker> | undefined;

  constructor(options: EngineOptions) {
    this.socketPath = options.socketPath;
    this.requestTimeoutMs = options.requestTimeoutMs;
  }

  /**
   * @param limitMs more time than a usual call has
   * @throws EngineUnavailableError; the signal's reason; an error with `statusCode` when the Engine refuses
   */
  async call<T>(signal: AbortSignal, call: EngineCall<T>, limitMs = this.requestTimeoutMs): Promise<T> {
    signal.throwIfAborted();
    const docker = await this.docker();
    // The promise ends in time by itself: docker-modem does not when a connection breaks off in the middle of an answer.
    const limit = { ms: limitMs, signal, late: () => new NoAnswerError(limitMs) };
    try {
      return await within(limit, (abortSignal) => call(docker, abortSignal));
    } catch (error) {
      signal.throwIfAborted();
      throw asEngineError(error, this.socketPath);
    }
  }

  /** `undefined` when the Engine answers that there is no such thing. */
  async find<T>(signal: AbortSignal, call: EngineCall<T>): Promise<T | undefined> {
    try {
      return await this.call(signal, call);
    } catch (error) {
      if (statusOf(error) === 404) return undefined;
      throw error;
    }
  }

  private docker(): Promise<Docker> {
    // At the first use: the package takes more than 100 ms to load, and a host without Docker never needs it.
    const options = {
      socketPath: this.socketPath,
      // Against DOCKER_HOST, which docker-modem prefers to a socket path.
      host: undefined,
      protocol: 'http' as const,
      // A connection kept from before the daemon's restart would fail the first call after it.
      agent: new UnprintedAgent({ keepAlive: false }),
    };
    this.client ??= import('dockerode').then(({ default: Client }) => new Client(options));
    return this.client;
  }
}
