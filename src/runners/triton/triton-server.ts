import { Mutex } from 'async-mutex';
import { deadline, orAborted, pollUntil } from '../../common/deadline.js';
import { DomainError, messageOf } from '../../common/errors.js';
import type { TritonConfig } from '../../config/sections/triton.js';
import type { GpuAccess, Launcher, LaunchSpec, ServerInfo } from '../../launchers/launcher.js';
import { BackendTimeoutError, type RunnerContext, ServerLostError } from '../runner.js';
import type { RemovalManner } from '../unneeded.js';
import { portsOf, stopGraceSeconds, tritonLaunchSpec, type TritonPorts } from './launch-spec.js';
import { TritonClient } from './triton-client.js';
import { TritonMetrics } from './triton-metrics.js';

const LIVE_POLL_MS = 50;
const LIVE_PROBE_TIMEOUT_MS = 2000;
/** Lines of a server's log that go into an error. */
const LOG_TAIL = 20;
const LAST_WORDS_TIMEOUT_MS = 1000;

/** A server that runs, as it was found. */
export interface RunningTriton {
  readonly info: ServerInfo;
  readonly ports: TritonPorts;
  readonly client: TritonClient;
  readonly metrics: TritonMetrics;
}

/** What a server is for, and how it gets its ports. */
export interface TritonServerRole {
  readonly name: string;
  /** The one model of a dedicated server. */
  readonly model?: string;
  /** Ports for a launch; called under the server's lock. */
  readonly choosePorts: (signal: AbortSignal) => Promise<TritonPorts>;
}

/** One Triton server: launched when first needed, found again after a restart of this service, stopped when idle. */
export class TritonServer {
  /** Launch and stop, one after another. */
  private readonly lock = new Mutex();
  private seen: RunningTriton | undefined;

  constructor(
    readonly role: TritonServerRole,
    private readonly launcher: Launcher,
    private readonly config: TritonConfig,
  ) {}

  get name(): string {
    return this.role.name;
  }

  /** As it ran when it was last found: whom to ask while the launcher cannot tell. */
  get lastSeen(): RunningTriton | undefined {
    return this.seen;
  }

  /** `undefined` when it does not run. @throws EngineUnavailableError */
  async find(signal: AbortSignal): Promise<RunningTriton | undefined> {
    const info = await this.launcher.inspect(this.name, signal);
    const ports = info && portsOf(info.labels);
    this.seen = info?.running && ports ? this.running(info, ports) : undefined;
    return this.seen;
  }

  /** The server once it is live, if it is there: one that has just been launched refuses connections for a while. */
  async findLive(context: RunnerContext): Promise<RunningTriton | undefined> {
    const running = await this.find(context.signal);
    if (!running) return undefined;
    try {
      await this.untilLive(running, context);
      return running;
    } catch (error) {
      if (error instanceof ServerLostError) return undefined;
      throw error;
    }
  }

  /** The same run of the server is there, once a launch or a stop that may be under way is over. */
  async isStill(running: RunningTriton, signal: AbortSignal): Promise<boolean> {
    const found = await this.exclusively(signal, () => this.find(signal));
    return found?.info.id === running.info.id;
  }

  /**
   * The checks of a launch, unless it runs already. They take no turn, since a launch may take minutes: what they find
   * in the way may be this very server, which somebody else has launched meanwhile.
   * @throws what `Launcher.check` throws
   */
  async check(gpus: GpuAccess, signal: AbortSignal): Promise<void> {
    if (await this.isThereOrComing(signal)) return;
    try {
      await this.launcher.check(this.spec(await this.role.choosePorts(signal), gpus), signal);
    } catch (error) {
      if (!(await this.isThereOrComing(signal))) throw error;
    }
  }

  /**
   * The live server, launched if need be.
   * @throws ServerLostError when it exits instead, BackendTimeoutError, and what `Launcher.launch` throws
   */
  async ensureLive(gpus: GpuAccess, context: RunnerContext): Promise<RunningTriton> {
    return this.exclusively(context.signal, async () => {
      const running = (await this.find(context.signal)) ?? (await this.launch(gpus, context));
      await this.untilLive(running, context);
      return running;
    });
  }

  /**
   * Stops it unless somebody needs it by then, and says whether it did; its processes are gone then.
   * @throws StopFailedError
   */
  async stopUnless(isNeeded: () => boolean, signal: AbortSignal): Promise<boolean> {
    return this.exclusively(signal, async () => {
      if (isNeeded()) return false;
      await this.launcher.stop(this.name, stopGraceSeconds(this.config), signal);
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
    const stop = async (graceSeconds: number): Promise<boolean> => {
      const info = await this.launcher.inspect(this.name, signal);
      if (info?.id !== id || isNeeded(info.labels)) return false;
      await this.launcher.stop(this.name, graceSeconds, signal);
      return true;
    };
    if (manner === 'force') return stop(0);
    return this.exclusively(signal, () => stop(stopGraceSeconds(this.config)));
  }

  /** Ends it by force unless it answers, and says whether it did. @throws StopFailedError, EngineUnavailableError */
  async endIfSilent(signal: AbortSignal): Promise<boolean> {
    return this.exclusively(signal, async () => {
      const running = await this.find(signal);
      if (!running || (await this.answers(running, signal))) return false;
      await this.launcher.stop(this.name, 0, signal);
      return true;
    });
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
    const lastLine = log.at(-1) === undefined ? '' : `; last line: ${log.at(-1)}`;
    return { sentence: `${this.name} ended${code}${reason}${lastLine}`, exitCode: info.exitCode, log };
  }

  private async answers(running: RunningTriton, signal: AbortSignal): Promise<boolean> {
    try {
      return await running.client.isLive(deadline(LIVE_PROBE_TIMEOUT_MS, signal));
    } catch {
      signal.throwIfAborted();
      return false; // that it does not answer is what was asked
    }
  }

  private async isThereOrComing(signal: AbortSignal): Promise<boolean> {
    return this.lock.isLocked() || (await this.find(signal)) !== undefined;
  }

  private async inspectOrNothing(): Promise<ServerInfo | undefined> {
    try {
      return await this.launcher.inspect(this.name, deadline(LAST_WORDS_TIMEOUT_MS));
    } catch {
      return undefined; // that it is gone is known already
    }
  }

  /** Launch and stop take turns; who no longer wants its turn does not wait for it. */
  private exclusively<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const turn = this.lock.runExclusive(() => {
      signal.throwIfAborted();
      return work();
    });
    return orAborted(turn, signal);
  }

  private async launch(gpus: GpuAccess, context: RunnerContext): Promise<RunningTriton> {
    context.onProgress(`launching ${this.name}`);
    const ports = await this.role.choosePorts(context.signal);
    const info = await this.launcher.launch(this.spec(ports, gpus), context.signal, context.onProgress);
    return this.running(info, ports);
  }

  private async untilLive(running: RunningTriton, context: RunnerContext): Promise<void> {
    const limit = deadline(this.config.server_start_timeout_seconds * 1000, context.signal);
    try {
      await pollUntil(() => this.liveOrLost(running, limit), { intervalMs: LIVE_POLL_MS, signal: limit });
    } catch (error) {
      if (error instanceof DomainError || context.signal.aborted) throw error;
      throw new BackendTimeoutError(
        `${this.name} was not live within ${this.config.server_start_timeout_seconds} s (runners.triton.server_start_timeout_seconds).`,
        { log: await this.lastLines() },
        { cause: error },
      );
    }
  }

  private async liveOrLost(running: RunningTriton, limit: AbortSignal): Promise<true | undefined> {
    try {
      if (await running.client.isLive(deadline(LIVE_PROBE_TIMEOUT_MS, limit))) return true;
    } catch (error) {
      limit.throwIfAborted();
      const now = await this.launcher.inspect(this.name, limit);
      if (!now?.running) throw await this.lost(`Triton did not start (${messageOf(error)})`, error);
    }
    return undefined;
  }

  private spec(ports: TritonPorts, gpus: GpuAccess): LaunchSpec {
    const { name, model } = this.role;
    return tritonLaunchSpec(this.config, { name, ports, ...(model !== undefined && { model }) }, gpus);
  }

  private running(info: ServerInfo, ports: TritonPorts): RunningTriton {
    const isAnyAddress = this.config.bind_address === '0.0.0.0' || this.config.bind_address === '::';
    const address = isAnyAddress ? '127.0.0.1' : this.config.bind_address;
    const host = `http://${address.includes(':') ? `[${address}]` : address}`;
    return {
      info,
      ports,
      client: new TritonClient(`${host}:${ports.http}`),
      metrics: new TritonMetrics(`${host}:${ports.metrics}`),
    };
  }
}
