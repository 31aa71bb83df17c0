import { strictly } from '../../common/examiner.js';
import { orAborted, within } from '../../common/deadline.js';
import { DomainError, messageOf, systemCodeOf } from '../../common/errors.js';
import { absentAfter } from '../ending.js';
import { checkLaunch } from '../launch-check.js';
import { LaunchedServer } from '../launched-server.js';
import type { PortSource } from '../port-range.js';
import type { PlacementObservation } from '../observation.js';
import { unseenAs } from '../unseen.js';
import type { Whereabouts } from '../whereabouts.js';
import type { PlacementServerConfig } from './placement-server-section.js';
import type { PlacementBackend, PlacementRole, RunningServer, Wanted } from './placement-backend.js';
import { PlacementIdentity } from './placement-identity.js';
import { PlacementProbe, type Seen, seenAs } from './placement-probe.js';
import type { ServedPlacement } from './served-placement.js';

/** Time of the launcher to say whether the server runs; what a probe has beyond that is for the server itself. */
const INSPECT_TIMEOUT_MS = 1000;
const READY_POLL_MS = 200;
/** Time of a server for its last answer before it is ended; it has left many such questions unanswered by then. */
const LAST_LOOK_MS = 2000;
/** What `beforeStop` may take over the drain. */
export const BEFORE_STOP_MS = 5000;

interface Work {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: string) => void;
}

/** The server of one placement: launched when wanted, found again after a restart of this service, stopped. */
export class PlacementServer extends LaunchedServer {
  private readonly probe: PlacementProbe;
  private readonly identity: PlacementIdentity;
  private seen: RunningServer | undefined;

  constructor(
    role: PlacementRole,
    whereabouts: Whereabouts,
    config: PlacementServerConfig,
    private readonly backend: PlacementBackend,
    private readonly ports: PortSource,
  ) {
    super(whereabouts);
    this.identity = new PlacementIdentity(role, whereabouts.home.launcher.kind, config, backend);
    this.probe = new PlacementProbe(backend, this.identity);
  }

  protected get stopGraceSeconds(): number {
    return this.identity.stopGraceSeconds;
  }

  /** As it ran when it was last found. */
  get lastSeen(): ServedPlacement | undefined {
    return this.seen?.placement;
  }

  /** What its memory limit has done to it lately, in words. */
  get note(): string | undefined {
    return this.seen && this.memoryNote(this.seen.info.id);
  }

  /** `undefined` when it does not run, or what runs under its name is for something else. @throws EngineUnavailableError */
  async find(signal: AbortSignal): Promise<RunningServer | undefined> {
    this.seen = this.identity.running(await this.inspect(signal));
    if (this.seen) this.probe.window.saw(this.seen.info);
    return this.seen;
  }

  /**
   * The checks of a launch, unless it runs already. They take no turn, since a launch may take minutes.
   * @throws what `Launcher.check` throws; PortInUseError when no port is left
   */
  check(wanted: Wanted, signal: AbortSignal, examine = strictly): Promise<void> {
    const launch = {
      launcher: this.whereabouts.home.launcher,
      look: (limit: AbortSignal) => this.ports.look(limit, this.identity.portCount),
      specOn: (ports: readonly number[]) => this.identity.spec(this.identity.planned(wanted, ports)),
      isThereOrComing: (limit: AbortSignal) => this.isThereOrComing(limit),
    };
    return checkLaunch(launch, signal, examine);
  }

  /**
   * The server is there and ready afterwards, launched if need be; one that has been ready and does not answer now is
   * left to those who look after it.
   * @throws ServerLostError or ServerUnfitError when it exits instead, BackendTimeoutError, what its probe finds final, and what
   * `Launcher.launch` throws
   */
  async ensureReady(wanted: Wanted, work: Work): Promise<void> {
    await this.exclusively(work.signal, async () => {
      let running = await this.find(work.signal);
      const misfit = running && this.identity.misfit(running, wanted);
      if (misfit !== undefined) {
        work.onProgress(`ending ${this.name}, which runs ${misfit}`);
        await this.stopPolitely(0, work.signal);
        running = undefined;
      }
      if (running && this.probe.window.isOver(running.info, this.identity.startTimeoutMs)) {
        const error = await this.probe.finalError(running, work.signal);
        if (error) throw error;
        return;
      }
      running ??= await this.launch(wanted, work);
      work.onProgress(`waiting for ${this.name} to be ready`);
      await this.untilReady(running, work.signal);
    });
  }

  /** Ends it politely, after `beforeStop`; whatever is left of it is gone then. @throws StopFailedError */
  async stop(patienceMs: number, signal: AbortSignal): Promise<void> {
    await this.exclusively(signal, () => this.stopPolitely(patienceMs, signal));
  }

  /** Ends it by force if it is silent, and says whether it did. @throws StopFailedError, EngineUnavailableError */
  async endIfSilent(signal: AbortSignal): Promise<boolean> {
    return this.exclusively(signal, async () => {
      const running = await this.find(signal);
      if (!running || (await this.probe.look(running, signal, LAST_LOOK_MS)).phase !== 'silent') return false;
      signal.throwIfAborted();
      await this.endNow(signal);
      return true;
    });
  }

  /** Does something with a server that runs, in turn with launch and stop. @throws ServerLostError where it does not run */
  async whileRunning(
    signal: AbortSignal,
    work: (placement: ServedPlacement) => Promise<void>,
  ): Promise<void> {
    await this.exclusively(signal, async () => {
      const running = await this.find(signal);
      if (!running) throw await this.lost(`${this.name} is not there`);
      await orAborted(work(running.placement), signal);
    });
  }

  /** What is true of the placement now. Never throws. */
  async observe(wanted: Wanted, signal: AbortSignal): Promise<PlacementObservation> {
    let running: RunningServer | undefined;
    try {
      running = await within({ ms: INSPECT_TIMEOUT_MS, signal }, (limit) => this.find(limit));
    } catch (error) {
      return this.observeBehindLauncher(messageOf(error), signal);
    }
    if (!running) {
      return this.observation(undefined, absentAfter(await this.ending()));
    }
    const misfit = this.identity.misfit(running, wanted);
    if (misfit !== undefined) {
      return this.observation(running, { phase: 'absent', reason: `${this.name} runs ${misfit}` });
    }
    return this.observation(running, await this.probe.look(running, signal));
  }

  protected override get linesToExplain(): number {
    return this.backend.linesToExplain;
  }

  protected override lastWords(log: readonly string[]): string {
    const words = this.backend.explainExit(log);
    return words === undefined ? super.lastWords(log) : `: ${words}`;
  }

  protected override isFinal(log: readonly string[]): boolean {
    const words = this.backend.explainExit(log);
    return words !== undefined && this.backend.isFinalExit(words);
  }

  /** Whatever keeps the launcher from answering: the server's own word is as good, and nobody else's counts. */
  private async observeBehindLauncher(trouble: string, signal: AbortSignal): Promise<PlacementObservation> {
    const { seen: running } = this;
    if (!running) return this.observation(undefined, { phase: 'unknown', reason: trouble });
    try {
      return this.observation(running, seenAs(await this.probe.ask(running, signal)));
    } catch (error) {
      const phase = systemCodeOf(error) === 'ECONNREFUSED' ? 'unknown' : unseenAs(error);
      return this.observation(running, { phase, reason: `${trouble}; ${this.name}: ${messageOf(error)}` });
    }
  }

  private untilReady(running: RunningServer, signal: AbortSignal): Promise<void> {
    const { backend } = this.backend;
    const { info } = running;
    const { startTimeoutMs } = this.identity;
    let lastWord = 'none';
    const isReady = async (limit: AbortSignal): Promise<true | DomainError | undefined> => {
      const result = await this.probe.ask(running, limit).catch((error: unknown) => {
        if (!limit.aborted) lastWord = messageOf(error);
        throw error;
      });
      if (result.state === 'failed') return result.error;
      // Whoever answers on that port may be somebody else.
      const now = await this.inspect(limit);
      if (now?.id !== info.id || !now.running) return this.notStarted(`${backend} did not start`);
      if (result.state === 'starting') {
        lastWord = result.reason ?? 'it is starting';
        return undefined;
      }
      return true;
    };
    return this.untilUp(
      isReady,
      {
        pollMs: READY_POLL_MS,
        limitMs: this.probe.window.leftMs(info, startTimeoutMs),
        late: () =>
          `${this.name} was not ready within ${startTimeoutMs / 1000} s (runners.${backend}: start_timeout_seconds); last answer: ${lastWord}.`,
        program: backend,
      },
      signal,
    );
  }

  private async launch(wanted: Wanted, work: Work): Promise<RunningServer> {
    await this.whereabouts.moveHome(work.signal);
    work.onProgress(`launching ${this.name}`);
    const lease = await this.ports.lease(work.signal, this.identity.portCount);
    try {
      const placement = this.identity.planned(wanted, lease.ports);
      const info = await this.launcher.launch(this.identity.spec(placement), work.signal, work.onProgress);
      this.probe.window.saw(info);
      this.seen = { info, placement };
      return this.seen;
    } finally {
      lease.release();
    }
  }

  /** Whatever comes of it, the stop goes on. */
  protected override async beforeStop(patienceMs: number, signal: AbortSignal): Promise<void> {
    const running = await this.find(signal);
    if (!running) return;
    try {
      await within({ ms: patienceMs + BEFORE_STOP_MS, signal }, (limit) =>
        this.backend.beforeStop(running.placement, { patienceMs, signal: limit }),
      );
    } catch {
      signal.throwIfAborted();
    }
  }

  protected override async graceSecondsNow(signal: AbortSignal): Promise<number> {
    const { stopGraceSeconds, seen: running } = this;
    if (!running) return stopGraceSeconds;
    try {
      const own = await within({ ms: INSPECT_TIMEOUT_MS, signal }, (limit) =>
        this.backend.graceSecondsNow(running.placement, limit),
      );
      return Math.min(own ?? stopGraceSeconds, stopGraceSeconds);
    } catch {
      signal.throwIfAborted();
      return stopGraceSeconds;
    }
  }

  /** It runs, or a launch or a stop is under way. @throws EngineUnavailableError */
  private async isThereOrComing(signal: AbortSignal): Promise<boolean> {
    return this.isBusy || (await this.find(signal)) !== undefined;
  }

  private observation(running: RunningServer | undefined, seen: Seen): PlacementObservation {
    const outdated = running ? this.identity.outdated(running) : [];
    const ports = running?.placement.ports;
    return {
      gpuId: this.identity.role.gpuId,
      ...seen,
      pid: running?.info.pid ?? null,
      port: running?.placement.port ?? null,
      ...(ports && ports.size > 1 && { ports }),
      serverName: running ? this.name : null,
      ...(running && { gpuUuids: running.placement.gpus.map(({ uuid }) => uuid) }),
      ...(outdated.length > 0 && { outdated }),
    };
  }
}
