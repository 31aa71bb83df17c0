import { resolve } from 'node:path';
import { pino } from 'pino';
import type { Logger } from '../../src/common/logging/logger.js';
import { loadConfig } from '../../src/config/load-config.js';
import type { Config } from '../../src/config/schema.js';
import { type GpuProcess, GpuProvider, type GpuSample } from '../../src/gpus/gpu-provider.js';
import { GpuOccupants } from '../../src/gpus/gpu-occupants.js';
import { GpuCordons } from '../../src/gpus/health/gpu-cordons.js';
import { GpuHealth } from '../../src/gpus/health/gpu-health.js';
import { GpusService } from '../../src/gpus/gpus.service.js';
import { Catalog } from '../../src/models/deployment/catalog.js';
import type { PlacementTransition } from '../../src/models/deployment/placement-journal.js';
import { OrphanWatch } from '../../src/models/watch/orphan-watch.js';
import { PlacementJournal } from '../../src/models/deployment/placement-journal.js';
import { GpuRoom } from '../../src/models/room/gpu-room.js';
import { RenewalWatch } from '../../src/models/watch/renewal-watch.js';
import { MemoryLearner } from '../../src/models/watch/memory-learner.js';
import { Acceptance } from '../../src/models/supervisor/acceptance.js';
import { Adoption } from '../../src/models/supervisor/adoption.js';
import { BadGpus } from '../../src/models/supervisor/bad-gpus.js';
import { Deployments } from '../../src/models/supervisor/deployments.js';
import { GpuWhereabouts } from '../../src/models/supervisor/gpu-whereabouts.js';
import { RestartElsewhere } from '../../src/models/supervisor/restart-elsewhere.js';
import { ServerEnd } from '../../src/models/supervisor/server-end.js';
import { OnGpus } from '../../src/models/supervisor/on-gpus.js';
import { StartCommands } from '../../src/models/supervisor/start-commands.js';
import { StartChecks } from '../../src/models/supervisor/start-checks.js';
import { DeploymentStates } from '../../src/models/deployment/deployment-states.js';
import { WorkerServices } from '../../src/models/worker/worker-services.js';
import { ServerShutdown } from '../../src/models/supervisor/shutdown.js';
import { Supervisor } from '../../src/models/supervisor/supervisor.js';
import { backends, type FullConfig } from '../../src/runners/backends.js';
import type { Runner } from '../../src/runners/runner.js';
import type { DesiredDeployment } from '../../src/state/desired-state.js';
import type { DesiredStateStore } from '../../src/state/desired-state.store.js';
import { GpuMemoryStore } from '../../src/state/gpu-memory.store.js';
import { FakeClock } from './fake-clock.js';
import { FakeRunner } from './fake-runner.js';
import { MemoryCordonsStore } from './memory-cordons-store.js';
import { MemoryStore } from './memory-store.js';
import { settled } from './timers.js';
import { NO_READINGS } from '../../src/gpus/no-readings.js';

export const DEFAULT_YAML = resolve(import.meta.dirname, '../../config/default.yaml');

let defaults: FullConfig | undefined;

export function testConfig(): FullConfig {
  defaults ??= loadConfig(DEFAULT_YAML, {}, backends);
  return {
    ...defaults,
    restart: {
      max_attempts: 3,
      initial_delay_ms: 1000,
      max_delay_ms: 5000,
      stable_after_seconds: 60,
      window_seconds: 3600,
      jitter: 0,
    },
  };
}

/** A logger that keeps what it is told. */
export function recordingLogger(): { logger: Logger; lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const logger = pino(
    { base: null },
    { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
  );
  return { logger, lines };
}

export class FakeGpuProvider extends GpuProvider {
  count = 4;
  /** By index; left out: `GPU-0` and so on. */
  uuids: readonly (string | null)[] | undefined;
  error: Error | undefined;
  /** What is wrong with a GPU, by GPU. */
  readonly faults = new Map<number, Pick<GpuSample, 'faults' | 'xids' | 'error'>>();
  /** Who holds memory, by GPU. */
  readonly processes = new Map<number, readonly GpuProcess[]>();

  sample(): Promise<readonly GpuSample[]> {
    if (this.error) return Promise.reject(this.error);
    return Promise.resolve(
      Array.from({ length: this.uuids?.length ?? this.count }, (_, id) => ({
        id,
        uuid: this.uuids ? (this.uuids[id] ?? null) : `GPU-${id}`,
        name: null,
        ...NO_READINGS,
        processes: this.processes.get(id) ?? [],
        simulated: true,
        ...this.faults.get(id),
      })),
    );
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** A supervisor with everything around it in memory. */
export class House<Store extends DesiredStateStore = MemoryStore> {
  readonly clock = new FakeClock();
  readonly gpus = new FakeGpuProvider();
  readonly gpuOccupants = new GpuOccupants();
  readonly lines: Record<string, unknown>[];
  readonly transitions: PlacementTransition[] = [];
  readonly catalog: Catalog;
  readonly shutdown: ServerShutdown;
  readonly supervisor: Supervisor;
  readonly whereabouts: GpuWhereabouts;
  readonly orphans: OrphanWatch;
  readonly learned: GpuMemoryStore;
  readonly learner: MemoryLearner;
  readonly renewals: RenewalWatch;
  readonly cordonsStore = new MemoryCordonsStore();
  readonly cordons: GpuCordons;
  readonly health: GpuHealth;

  private constructor(
    readonly runner: FakeRunner,
    readonly store: Store,
    readonly config: Config,
    { logger, lines }: ReturnType<typeof recordingLogger>,
    runners: readonly Runner[],
  ) {
    this.lines = lines;
    const journal = new PlacementJournal(this.clock, logger);
    journal.transitions.subscribe((transition) => this.transitions.push(transition));
    const gpus = new GpusService(this.gpus, this.clock, config);
    this.catalog = new Catalog(runners);
    this.shutdown = new ServerShutdown(this.catalog, config, logger);
    this.learned = new GpuMemoryStore(this.clock, { state: { dir: '/nowhere' } }, logger);
    this.cordons = new GpuCordons(this.cordonsStore, gpus, this.clock, logger);
    this.health = new GpuHealth(this.cordons, gpus, this.clock, config, logger);
    const states = new DeploymentStates();
    const services = new WorkerServices(
      states,
      store,
      journal,
      gpus,
      this.clock,
      config,
      logger,
      this.cordons,
      this.learned,
    );
    const deployments = new Deployments(this.catalog, states, services, this.clock, logger);
    const acceptance = new Acceptance(store, journal, this.clock);
    const adoption = new Adoption(this.catalog, store, deployments, logger);
    const room = new GpuRoom(gpus, this.learned, config, logger, this.cordons);
    const onGpus = new OnGpus(states, room);
    const checks = new StartChecks(this.catalog, gpus, states, this.cordons);
    this.whereabouts = new GpuWhereabouts(deployments, gpus, journal, logger);
    const starts = new StartCommands(deployments, adoption, checks, room, onGpus, acceptance);
    this.supervisor = new Supervisor(
      this.catalog,
      store,
      journal,
      states,
      deployments,
      starts,
      acceptance,
      new ServerEnd(deployments, store, journal, this.clock),
      adoption,
      onGpus,
      this.shutdown,
      this.gpuOccupants,
      this.whereabouts,
      new BadGpus(deployments, this.cordons, new RestartElsewhere(starts, config, logger), logger),
    );
    this.learner = new MemoryLearner(this.supervisor, gpus, this.learned, this.clock, config, logger);
    this.renewals = new RenewalWatch(deployments, services, this.clock, logger);
    this.orphans = new OrphanWatch(this.catalog, this.supervisor, this.clock, config, logger);
  }

  static withMemory(
    settings: {
      runner?: FakeRunner;
      state?: readonly DesiredDeployment[];
      restart?: Partial<Config['restart']>;
      orphans?: Partial<Config['orphans']>;
      shutdown?: Partial<Config['shutdown']>;
      health?: Partial<Config['gpus']['health']>;
      moreRunners?: readonly Runner[];
      /** The state was set aside. */
      stateLost?: boolean;
    } = {},
  ): House {
    const config = testConfig();
    const restarting = {
      ...config,
      gpus: { ...config.gpus, health: { ...config.gpus.health, ...settings.health } },
      restart: { ...config.restart, ...settings.restart },
      shutdown: { ...config.shutdown, ...settings.shutdown },
      orphans: { ...config.orphans, ...settings.orphans },
    };
    const log = recordingLogger();
    const runner = settings.runner ?? new FakeRunner();
    const store = new MemoryStore(restarting, log.logger, settings.state);
    if (settings.stateLost === true) store.taking = { done: [] };
    return new House(runner, store, restarting, log, [runner, ...(settings.moreRunners ?? [])]);
  }

  /** The service has booted. */
  async boot(): Promise<this> {
    await this.cordons.onModuleInit();
    await this.supervisor.onApplicationBootstrap();
    await settled();
    return this;
  }

  /** A tick of the health poller, and what comes of it. */
  async probe(): Promise<void> {
    this.supervisor.probeAll();
    await settled();
  }

  /** A model that serves. */
  async running(modelName: string, ...gpuIds: number[]): Promise<void> {
    for (const gpuId of gpuIds) await this.supervisor.start(modelName, gpuId, {});
    await settled();
    this.runner.calls.length = 0;
    this.transitions.length = 0;
  }

  /** `["A 0 RUNNING", …]`: what status shows. */
  status(): string[] {
    return this.supervisor
      .deployments()
      .flatMap((deployment) =>
        deployment
          .visible()
          .map(({ gpuId, placement }) => `${deployment.modelName} ${gpuId} ${placement.status}`),
      );
  }

  /** `["0 STOPPED→STARTING", …]`: what has happened to a model. */
  history(modelName = 'A'): string[] {
    return this.transitions
      .filter((transition) => transition.modelName === modelName)
      .map(({ gpuId, from, to }) => `${gpuId} ${String(from)}→${to}`);
  }

  placement(
    modelName: string,
    gpuId: number,
  ): { status: string; error?: string; progress?: string; sleeping?: true; degraded?: string } | undefined {
    const found = this.supervisor
      .deployments()
      .find((deployment) => deployment.modelName === modelName)
      ?.visible()
      .find((held) => held.gpuId === gpuId)?.placement;
    return (
      found && {
        status: found.status,
        ...(found.error && { error: `${found.error.code}: ${found.error.message}` }),
        ...(found.progress !== undefined && { progress: found.progress }),
        ...(found.sleeping && { sleeping: true as const }),
        ...(found.degraded !== undefined && { degraded: found.degraded }),
      }
    );
  }

  /** Defects of the worker: there must be none. */
  defects(): unknown[] {
    return this.lines.filter((line) => line.msg === 'The deployment worker failed');
  }
}
