import { canonicalJson } from '../../common/canonical-json.js';
import { within } from '../../common/deadline.js';
import { type Examiner, strictly } from '../../common/examiner.js';
import { SharedWork } from '../../common/shared-work.js';
import type { LaunchSpec, ServerInfo } from '../../launchers/launcher.js';
import { checkLaunch } from '../launch-check.js';
import { LaunchedServer } from '../launched-server.js';
import { ServerLostError } from '../errors.js';
import type { Aspect } from '../aspects.js';
import { launchedAs } from '../launched-as.js';
import { outdatedAspects } from '../launch-aspects.js';
import type { PortSource } from '../port-range.js';
import type { RunnerContext } from '../runner-context.js';
import { serverUrl } from '../server-url.js';
import { visibleIn } from '../visible-gpus.js';
import type { Whereabouts } from '../whereabouts.js';
import { finalCause, LINES_TO_EXPLAIN } from './explain-exit.js';
import type { Sight } from './gpu-visibility.js';
import type { TritonConfig } from './triton-section.js';
import {
  portsOf,
  stopGraceSeconds,
  type TritonGpus,
  tritonLaunchSpec,
  type TritonPorts,
  tritonSettings,
} from './launch-spec.js';
import { ModelRepository } from './model-repository.js';
import { TritonClient } from './triton-client.js';
import { TritonMetrics } from './triton-metrics.js';

const LIVE_POLL_MS = 50;
const LIVE_PROBE_TIMEOUT_MS = 2000;

/** A server that runs, as it was found. */
export interface RunningTriton {
  readonly info: ServerInfo;
  readonly ports: TritonPorts;
  readonly client: TritonClient;
  readonly metrics: TritonMetrics;
  readonly sight: Sight;
  /** What it reads. */
  readonly repository: ModelRepository;
}

/** What a server is for, and how it gets its ports. */
export interface TritonServerRole {
  readonly name: string;
  /** The one model of a dedicated server. */
  readonly model?: string;
  /** HTTP, gRPC and metrics, in a row of three. */
  readonly ports: PortSource;
}

/** One Triton server: launched when first needed, found again after a restart of this service, stopped when idle. */
export class TritonServer extends LaunchedServer {
  protected readonly stopGraceSeconds: number;
  private seen: RunningTriton | undefined;
  private readonly glances = new SharedWork<RunningTriton | undefined>();
  private readonly checks = new SharedWork<void>();

  constructor(
    readonly role: TritonServerRole,
    whereabouts: Whereabouts,
    private readonly config: TritonConfig,
  ) {
    super(whereabouts);
    this.stopGraceSeconds = stopGraceSeconds(config);
  }

  /** As it ran when it was last found: whom to ask while the launcher cannot tell. */
  get lastSeen(): RunningTriton | undefined {
    return this.seen;
  }

  /** `undefined` when it does not run. @throws EngineUnavailableError */
  async find(signal: AbortSignal): Promise<RunningTriton | undefined> {
    const info = await this.inspect(signal);
    const ports = info && this.whereabouts.isIt(info.labels) ? portsOf(info.labels) : undefined;
    // One that is still there keeps what is shared of it.
    if (this.seen && this.seen.info.id === info?.id && info.running && ports)
      this.seen = { ...this.seen, info };
    else this.seen = info?.running && ports ? this.running(info, ports) : undefined;
    return this.seen;
  }

  /** The same for a check: all who ask at once share one answer. */
  glance(signal: AbortSignal): Promise<RunningTriton | undefined> {
    return this.glances.run(this.name, signal, (limit) => this.find(limit));
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
   * The checks of a launch, unless it runs already. They take no turn, since a launch may take minutes. Models that are
   * started at once share them.
   * @throws what `Launcher.check` throws
   */
  check(gpus: TritonGpus, signal: AbortSignal, examine?: Examiner): Promise<void> {
    if (examine) return this.checkAlone(gpus, signal, examine);
    return this.checks.run(canonicalJson(gpus), signal, (limit) => this.checkAlone(gpus, limit, strictly));
  }

  private checkAlone(gpus: TritonGpus, signal: AbortSignal, examine: Examiner): Promise<void> {
    const launch = {
      launcher: this.whereabouts.home.launcher,
      look: (limit: AbortSignal) => this.role.ports.look(limit),
      specOn: (ports: readonly number[]) => this.spec(tritonPorts(ports), gpus),
      isThereOrComing: (limit: AbortSignal) => this.isThereOrComing(limit),
    };
    return checkLaunch(launch, signal, examine);
  }

  /**
   * The live server, launched if need be.
   * @throws ServerLostError when it exits instead, BackendTimeoutError, and what `Launcher.launch` throws
   */
  async ensureLive(gpus: TritonGpus, context: RunnerContext): Promise<RunningTriton> {
    return this.exclusively(context.signal, async () => {
      const lastSeen = this.seen;
      const found = await this.find(context.signal);
      // Other models ask later how the server ended that they were on: its last lines go with the launch.
      if (!found && lastSeen && !this.endingOf(lastSeen.info.id)) await this.ending();
      const running = found ?? (await this.launch(gpus, context));
      await this.untilLive(running, context);
      return running;
    });
  }

  /** In what it is not what would be launched now, with these GPUs. */
  outdated({ info, ports }: RunningTriton, gpus: TritonGpus): readonly Aspect[] {
    return outdatedAspects(info.labels, this.spec(ports, gpus));
  }

  /** Ends it by force unless it answers, and says whether it did. @throws StopFailedError, EngineUnavailableError */
  async endIfSilent(signal: AbortSignal): Promise<boolean> {
    return this.exclusively(signal, async () => {
      const running = await this.find(signal);
      if (!running || (await this.answers(running, signal))) return false;
      await this.endNow(signal);
      return true;
    });
  }

  /** Ends one run of it by force, and says whether that was there. @throws StopFailedError, EngineUnavailableError */
  async endRun(id: string, signal: AbortSignal): Promise<boolean> {
    return this.exclusively(signal, async () => {
      const info = await this.inspect(signal);
      if (info?.id !== id || !info.running) return false;
      await this.endNow(signal);
      return true;
    });
  }

  protected override get linesToExplain(): number {
    return LINES_TO_EXPLAIN;
  }

  protected override lastWords(log: readonly string[]): string {
    const words = finalCause(log);
    return words === undefined ? super.lastWords(log) : `: ${words}`;
  }

  protected override isFinal(log: readonly string[]): boolean {
    return finalCause(log) !== undefined;
  }

  private async answers(running: RunningTriton, signal: AbortSignal): Promise<boolean> {
    try {
      return await isLive(running.client, signal);
    } catch {
      signal.throwIfAborted();
      return false; // that it does not answer is what was asked
    }
  }

  /** It runs, or a launch or a stop is under way. @throws EngineUnavailableError */
  private async isThereOrComing(signal: AbortSignal): Promise<boolean> {
    return this.isBusy || (await this.find(signal)) !== undefined;
  }

  private async launch(gpus: TritonGpus, context: RunnerContext): Promise<RunningTriton> {
    await this.whereabouts.moveHome(context.signal);
    context.onProgress(`launching ${this.name}`);
    const lease = await this.role.ports.lease(context.signal);
    try {
      const ports = tritonPorts(lease.ports);
      const info = await this.launcher.launch(this.spec(ports, gpus), context.signal, context.onProgress);
      return this.running(info, ports);
    } finally {
      lease.release();
    }
  }

  private untilLive({ client }: RunningTriton, { signal }: RunnerContext): Promise<void> {
    const { server_start_timeout_seconds: limitSeconds } = this.config;
    return this.untilUp(
      async (limit) => (await isLive(client, limit)) || undefined,
      {
        limitMs: limitSeconds * 1000,
        pollMs: LIVE_POLL_MS,
        late: () =>
          `${this.name} was not live within ${limitSeconds} s (runners.triton.server_start_timeout_seconds).`,
        program: 'Triton',
      },
      signal,
    );
  }

  private spec(ports: TritonPorts, gpus: TritonGpus): LaunchSpec {
    const { name, model } = this.role;
    return tritonLaunchSpec(this.config, { name, ports, ...(model !== undefined && { model }) }, gpus);
  }

  private running(info: ServerInfo, ports: TritonPorts): RunningTriton {
    const settings = launchedAs(info.labels, tritonSettings(this.config));
    const { bind_address: address, model_repository_host_path: repository } = settings;
    return {
      info,
      ports,
      client: new TritonClient(serverUrl(address, ports.http)),
      metrics: new TritonMetrics(serverUrl(address, ports.metrics)),
      sight: { serverName: this.name, visible: visibleIn(info.labels) },
      repository: new ModelRepository(repository),
    };
  }
}

/** Of a row; each is 0 while nobody can tell which are free. */
function tritonPorts([http = 0, grpc = 0, metrics = 0]: readonly number[]): TritonPorts {
  return { http, grpc, metrics };
}

function isLive(client: TritonClient, signal: AbortSignal): Promise<boolean> {
  return within({ ms: LIVE_PROBE_TIMEOUT_MS, signal }, (limit) => client.isLive(limit));
}
