import { Mutex } from 'async-mutex';
import { deadline, orAborted, pollUntil } from '../common/deadline.js';
import { DomainError, messageOf } from '../common/errors.js';
import type { Launcher, ServerInfo } from '../launchers/launcher.js';
import { BackendTimeoutError, ServerLostError } from './runner.js';
import type { RemovalManner } from './unneeded.js';

/** Lines of a server's log that go into an error. */
const LOG_TAIL = 20;
const LAST_WORDS_TIMEOUT_MS = 1000;

/** How long to wait for a server that comes up, and what is said when it does not. */
export interface UpWait {
  readonly limitMs: number;
  readonly pollMs: number;
  /** Sentence of the BackendTimeoutError. */
  readonly late: () => string;
  /** Who did not start, for the ServerLostError. */
  readonly program: string;
}

/** One server that a launcher runs under a fixed name: launch and stop take turns, and how it ended is told in words. */
export abstract class LaunchedServer {
  /** Launch and stop, one after another. */
  private readonly lock = new Mutex();

  constructor(
    readonly name: string,
    protected readonly launcher: Launcher,
  ) {}

  /** Time between the polite signal and the forced one. */
  protected abstract readonly stopGraceSeconds: number;

  /**
   * Stops it unless somebody needs it by then, and says whether it did; its processes are gone then.
   * @throws StopFailedError
   */
  async stopUnless(isNeeded: () => boolean, signal: AbortSignal): Promise<boolean> {
    return this.exclusively(signal, async () => {
      if (isNeeded()) return false;
      await this.stopPolitely(0, signal);
      return true;
    });
  }

  /** Ends it by force, whoever needs it; its processes are gone then. @throws StopFailedError */
  async end(signal: AbortSignal): Promise<void> {
    await this.exclusively(signal, () => this.launcher.stop(this.name, 0, signal));
  }

  /**
   * Stops the run with this id unless somebody needs it by then, and says whether it did; its processes are gone then.
   * By force, it does not wait for a launch or a stop that may be under way.
   * @throws StopFailedError, EngineUnavailableError
   */
  async stopRun(
    id: string,
    isNeeded: (labels: ServerInfo['labels']) => boolean,
    manner: RemovalManner,
    signal: AbortSignal,
  ): Promise<boolean> {
    const stop = async (): Promise<boolean> => {
      const info = await this.launcher.inspect(this.name, signal);
      if (info?.id !== id || isNeeded(info.labels)) return false;
      if (manner === 'force') await this.launcher.stop(this.name, 0, signal);
      else await this.stopPolitely(0, signal);
      return true;
    };
    return manner === 'force' ? stop() : this.exclusively(signal, stop);
  }

  /** The last lines of its log; empty when they cannot be had. */
  async lastLines(): Promise<readonly string[]> {
    try {
      return await this.launcher.logs(this.name, LOG_TAIL, deadline(LAST_WORDS_TIMEOUT_MS));
    } catch {
      return []; // they only illustrate an error that is reported anyway
    }
  }

  /** Why it does not run any more, as an error that carries its last words. */
  async lost(what: string, cause?: unknown): Promise<ServerLostError> {
    const { sentence, exitCode, log } = await this.ending();
    return new ServerLostError(`${what}: ${sentence}`, { server: this.name, exitCode, log }, { cause });
  }

  /** How it ended, in one sentence: exit code and last words where there are any. */
  async ending(): Promise<{ sentence: string; exitCode: number | null; log: readonly string[] }> {
    const info = await this.inspectOrNothing();
    if (!info) return { sentence: `${this.name} does not run`, exitCode: null, log: [] };
    const log = await this.lastLines();
    const code = info.exitCode === null ? '' : ` with exit code ${info.exitCode}`;
    const reason = info.reason === undefined ? '' : ` (${info.reason})`;
    return {
      sentence: `${this.name} ended${code}${reason}${this.lastWords(log)}`,
      exitCode: info.exitCode,
      log,
    };
  }

  /** Before the polite signal. */
  protected beforeStop(_patienceMs: number, _signal: AbortSignal): Promise<void> {
    return Promise.resolve();
  }

  /** Asks it to end, then forces it; the caller has the turn. @throws StopFailedError */
  protected async stopPolitely(patienceMs: number, signal: AbortSignal): Promise<void> {
    await this.beforeStop(patienceMs, signal);
    await this.launcher.stop(this.name, this.stopGraceSeconds, signal);
  }

  /** What its last lines say of its end; begins with a sign. */
  protected lastWords(log: readonly string[]): string {
    return log.at(-1) === undefined ? '' : `; last line: ${log.at(-1)}`;
  }

  /** A launch or a stop is under way. */
  protected get isBusy(): boolean {
    return this.lock.isLocked();
  }

  /** Launch and stop take turns; who no longer wants its turn does not wait for it. */
  protected exclusively<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const turn = this.lock.runExclusive(() => {
      signal.throwIfAborted();
      return work();
    });
    return orAborted(turn, signal);
  }

  /**
   * Waits until `isUp`, which is asked with its deadline; `undefined` and whatever it throws count as "not yet", an
   * error that it returns is final.
   * @throws ServerLostError when the server exits instead, BackendTimeoutError, the error that `isUp` returned
   */
  protected async untilUp(
    isUp: (limit: AbortSignal) => Promise<true | DomainError | undefined>,
    { limitMs, pollMs, late, program }: UpWait,
    signal: AbortSignal,
  ): Promise<void> {
    const limit = deadline(limitMs, signal);
    const upOrLost = async (): Promise<true | DomainError | undefined> => {
      try {
        return await isUp(limit);
      } catch (error) {
        limit.throwIfAborted();
        const now = await this.launcher.inspect(this.name, limit);
        if (!now?.running) throw await this.lost(`${program} did not start (${messageOf(error)})`, error);
        return undefined;
      }
    };
    let outcome: true | DomainError;
    try {
      outcome = await pollUntil(upOrLost, { intervalMs: pollMs, signal: limit });
    } catch (error) {
      if (error instanceof DomainError || signal.aborted) throw error;
      throw new BackendTimeoutError(late(), { log: await this.lastLines() }, { cause: error });
    }
    if (outcome !== true) throw outcome;
  }

  private async inspectOrNothing(): Promise<ServerInfo | undefined> {
    try {
      return await this.launcher.inspect(this.name, deadline(LAST_WORDS_TIMEOUT_MS));
    } catch {
      return undefined; // that it is gone is known already
    }
  }
}
