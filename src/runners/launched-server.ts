import { Mutex } from 'async-mutex';
import { orAborted, pollUntil, within } from '../common/deadline.js';
import { DomainError, messageOf } from '../common/errors.js';
import type { GpuSight, Launcher, ServerInfo } from '../launchers/launcher.js';
import { endedByItself, endOf, type Ending } from './ending.js';
import { BackendTimeoutError, ServerLostError, ServerUnfitError } from './errors.js';
import { missingProgram } from './missing-program.js';
import type { RemovalManner } from './unneeded.js';
import type { Whereabouts } from './whereabouts.js';

/** Lines of a server's log that go into an error. */
const LOG_TAIL = 20;
const LAST_WORDS_TIMEOUT_MS = 1000;
/** Time, ms, that a server which broke off a connection has to be gone. */
const ENDING_MS = 1000;
const ENDING_POLL_MS = 20;

/** How long to wait for a server that comes up, and what is said when it does not. */
export interface UpWait {
  readonly limitMs: number;
  readonly pollMs: number;
  /** Sentence of the BackendTimeoutError. */
  readonly late: () => string;
  /** Who did not start, for the ServerLostError. */
  readonly program: string;
}

/** One server that a launcher runs: launch and stop take turns, and how it ended is told in words. */
export abstract class LaunchedServer {
  /** Launch and stop, one after another. */
  private readonly lock = new Mutex();
  private lastEnding: { readonly runId: string; readonly ending: Ending } | undefined;

  constructor(readonly whereabouts: Whereabouts) {}

  /** Of the server that runs or last ran; of one that was never looked for, as it would be launched. */
  get name(): string {
    return this.whereabouts.place.name;
  }

  /** Whether it is there, as far as it was looked for. */
  isAt(name: string, launcher: Launcher['kind']): boolean {
    return this.whereabouts.isAt(name, launcher);
  }

  /** Of the server that runs or last ran. */
  protected get launcher(): Launcher {
    return this.whereabouts.place.launcher;
  }

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
    await this.exclusively(signal, () => this.endNow(signal));
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
      const info = await this.inspect(signal);
      if (info?.id !== id || isNeeded(info.labels)) return false;
      if (manner === 'force') await this.endNow(signal);
      else await this.stopPolitely(0, signal);
      return true;
    };
    return manner === 'force' ? stop() : this.exclusively(signal, stop);
  }

  /** The last lines of its log; empty when they cannot be had. */
  async lastLines(count = LOG_TAIL): Promise<readonly string[]> {
    try {
      return await within({ ms: LAST_WORDS_TIMEOUT_MS }, (limit) =>
        this.launcher.logs(this.name, count, limit),
      );
    } catch {
      return []; // they only illustrate an error that is reported anyway
    }
  }

  /**
   * Why it does not run any more, as an error that carries its last words.
   * @param runId the run that was lost: by now, it may have been replaced by another
   */
  async lost(what: string, cause?: unknown, runId?: string): Promise<ServerLostError> {
    return this.lostAs(ServerLostError, what, await this.ending(runId), cause);
  }

  /** The same of a server that was never ready. */
  protected async notStarted(what: string, cause?: unknown): Promise<ServerLostError> {
    const ending = await this.ending();
    return this.lostAs(ending.isFinal ? ServerUnfitError : ServerLostError, what, ending, cause);
  }

  /** What the limit of its memory has lately done to a run of it, in words; `undefined`: nothing that is known. */
  memoryNote(runId: string): string | undefined {
    const words = this.launcher.outOfMemory(runId);
    return words === undefined ? undefined : `${this.name} was ${words}`;
  }

  /** Whether it reaches its GPUs, by asking inside it (`Launcher.gpuSight`). @throws EngineUnavailableError */
  async gpuSight(maxAgeMs: number, signal: AbortSignal): Promise<GpuSight> {
    const { name, launcher } = await this.whereabouts.find(signal);
    return launcher.gpuSight(name, maxAgeMs, signal);
  }

  /** How it ended, in one sentence: exit code and last words where there are any. */
  async ending(runId?: string): Promise<Ending> {
    const info = runId === undefined ? await this.inspectOrNothing() : await this.inspectEnded(runId);
    const earlier = runId === undefined || info?.id === runId ? undefined : this.launcher.exitOf(runId);
    if (earlier) return { ...endOf(this.name, earlier), isFinal: false, log: [] };
    if (!info) {
      const sentence = `${this.name} does not run`;
      return { sentence, exitCode: null, isFinal: false, log: [], isUnknown: true };
    }
    const lines = await this.lastLines(Math.max(LOG_TAIL, this.linesToExplain));
    const log = lines.slice(-LOG_TAIL);
    const { sentence, exitCode } = endOf(this.name, info);
    const missing = missingProgram(lines, exitCode);
    const ending = {
      sentence: `${sentence}${missing === undefined ? this.lastWords(lines) : `: ${missing}`}`,
      exitCode,
      isFinal: endedByItself(info) && (missing !== undefined || this.isFinal(lines)),
      log,
    };
    if (!info.running) this.lastEnding = { runId: info.id, ending };
    return ending;
  }

  /** How the run with this id ended, if it was the last that was seen to: by now, it may have been replaced by another. */
  endingOf(runId: string): Ending | undefined {
    return this.lastEnding?.runId === runId ? this.lastEnding.ending : undefined;
  }

  /** Lines of the log that `lastWords` wants. */
  protected get linesToExplain(): number {
    return LOG_TAIL;
  }

  /** Before the polite signal. */
  protected beforeStop(_patienceMs: number, _signal: AbortSignal): Promise<void> {
    return Promise.resolve();
  }

  /** Asks it to end, then forces it; the caller has the turn. @throws StopFailedError */
  protected async stopPolitely(patienceMs: number, signal: AbortSignal): Promise<void> {
    const { name, launcher } = await this.whereabouts.find(signal);
    await this.beforeStop(patienceMs, signal);
    await launcher.stop(name, await this.graceSecondsNow(signal), signal);
  }

  /** Time, seconds, of the server to end by itself once it was asked. */
  protected graceSecondsNow(_signal: AbortSignal): Promise<number> {
    return Promise.resolve(this.stopGraceSeconds);
  }

  /** By force; the caller has the turn. @throws StopFailedError */
  protected async endNow(signal: AbortSignal): Promise<void> {
    const { name, launcher } = await this.whereabouts.find(signal);
    await launcher.stop(name, 0, signal);
  }

  /** Its run, or how it ended, wherever it is. @throws EngineUnavailableError, DeadlineError */
  protected async inspect(signal: AbortSignal): Promise<ServerInfo | undefined> {
    const { name, launcher } = await this.whereabouts.find(signal);
    return launcher.inspect(name, signal);
  }

  /** What its last lines say of its end; begins with a sign. */
  protected lastWords(log: readonly string[]): string {
    return log.at(-1) === undefined ? '' : `; last line: ${log.at(-1)}`;
  }

  /** Whether these last lines, of a server that was never ready, tell of an end to which the next one will come too. */
  protected isFinal(_log: readonly string[]): boolean {
    return false;
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
   * @throws ServerLostError or ServerUnfitError when the server exits instead, BackendTimeoutError, the error that `isUp` returned
   */
  protected async untilUp(
    isUp: (limit: AbortSignal) => Promise<true | DomainError | undefined>,
    { limitMs, pollMs, late, program }: UpWait,
    signal: AbortSignal,
  ): Promise<void> {
    const upOrLost = async (limit: AbortSignal): Promise<true | DomainError | undefined> => {
      try {
        return await isUp(limit);
      } catch (error) {
        limit.throwIfAborted();
        const now = await this.inspect(limit);
        if (!now?.running)
          throw await this.notStarted(`${program} did not start (${messageOf(error)})`, error);
        return undefined;
      }
    };
    let outcome: true | DomainError;
    try {
      outcome = await within({ ms: limitMs, signal }, (limit) =>
        pollUntil(() => upOrLost(limit), { intervalMs: pollMs, signal: limit }),
      );
    } catch (error) {
      if (error instanceof DomainError || signal.aborted) throw error;
      throw new BackendTimeoutError(late(), { log: await this.lastLines() }, { cause: error });
    }
    if (outcome !== true) throw outcome;
  }

  private lostAs(
    Lost: typeof ServerLostError,
    what: string,
    { sentence, exitCode, log }: Ending,
    cause: unknown,
  ): ServerLostError {
    return new Lost(`${what}: ${sentence}`, { server: this.name, exitCode, log }, { cause });
  }

  /** A process closes its connections a moment before it is gone, and only then it is known how it ended. */
  private async inspectEnded(runId: string): Promise<ServerInfo | undefined> {
    let info: ServerInfo | undefined;
    const look = async (): Promise<true | undefined> => {
      info = await this.inspectOrNothing();
      return info?.running === true && info.id === runId ? undefined : true;
    };
    await within({ ms: ENDING_MS }, (signal) =>
      pollUntil(look, { intervalMs: ENDING_POLL_MS, signal }),
    ).catch(
      () => undefined, // it lives on, as far as anybody can tell: that is what is said then
    );
    return info;
  }

  private async inspectOrNothing(): Promise<ServerInfo | undefined> {
    try {
      return await within({ ms: LAST_WORDS_TIMEOUT_MS }, (limit) => this.inspect(limit));
    } catch {
      return undefined; // that it is gone is known already
    }
  }
}
