import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { Clock } from '../../common/clock.js';
import { DomainError } from '../../common/errors.js';
import { LOGGER, type Logger } from '../../common/logging/logger.js';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/schema.js';
import { GpuTenants } from '../../gpus/gpu-tenants.js';
import { GpusService } from '../../gpus/gpus.service.js';
import type { Deployment, Runner } from '../../runners/runner.js';
import type { Needed } from '../../runners/unneeded.js';
import type { DesiredDeployment } from '../../state/desired-state.js';
import { DesiredStateStore } from '../../state/desired-state.store.js';
import { Acceptance, type StopRequested } from './acceptance.js';
import { Adoption } from './adoption.js';
import { Catalog } from '../deployment/catalog.js';
import type { DeploymentState, HeldGpu } from '../deployment/deployment-state.js';
import type { DeploymentWorker } from '../worker/deployment-worker.js';
import { Deployments } from './deployments.js';
import { notPlaced, ShuttingDownError } from '../deployment/errors.js';
import type { Placement } from '../deployment/placement.js';
import { PlacementJournal } from '../deployment/placement-journal.js';
import { GpuRoom } from '../room/gpu-room.js';
import { ServerEnd } from './server-end.js';
import { ServerShutdown } from './shutdown.js';
import type { SleepWish } from '../worker/sleeps.js';
import { StartChecks } from './start-checks.js';
import type { StartForecast } from './start-checks.js';
import { serverNameOf, tenantsOf } from './on-gpus.js';
import { untilLetGo } from './acceptance.js';
import { occupantsOf } from './on-gpus.js';
import type { Occupant } from '../room/occupant.js';

/** A deployment as it is now, and the placement that a command was about. */
export interface DeploymentView {
  readonly deployment: DeploymentState;
  readonly placement: Placement | undefined;
  /** All GPUs to show: those that are held, and those of the placement that has just stopped. */
  readonly held: readonly HeldGpu[];
  readonly instancesPerGpu: number;
}

/** Takes commands, writes down what is wanted, and owns one worker per model that brings it about. */
@Injectable()
export class Supervisor implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly known: Deployments;
  private readonly unsubscribe: (() => void)[] = [];
  private readonly checks: StartChecks;
  private readonly acceptance: Acceptance;
  private readonly serverEnd: ServerEnd;
  private readonly adoption: Adoption;
  private closing = false;
  private recovered = false;

  constructor(
    private readonly catalog: Catalog,
    private readonly store: DesiredStateStore,
    private readonly journal: PlacementJournal,
    gpus: GpusService,
    private readonly tenants: GpuTenants,
    private readonly room: GpuRoom,
    private readonly shutdown: ServerShutdown,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(CONFIG) config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    const tenantsChanged = (): void => {
      this.publishTenants();
    };
    this.known = new Deployments({ catalog, store, journal, gpus, clock, config, logger, tenantsChanged });
    this.checks = new StartChecks({ catalog, gpus, wanted: (backend) => this.known.wanted(backend) });
    this.acceptance = new Acceptance({ catalog, store, journal, clock });
    this.serverEnd = new ServerEnd({
      workers: () => this.known.workers,
      store,
      journal,
      clock,
      serverNameOf: ({ state }, placement) => serverNameOf(state, placement, catalog),
    });
    this.adoption = new Adoption({
      runners: catalog.allRunners,
      store,
      logger,
      takeUp: (runner, deployment) => this.takeUp(runner, deployment),
    });
  }

  /** The state of the last run has been read, and is being brought about. */
  get isReady(): boolean {
    return this.recovered && !this.closing;
  }

  async onApplicationBootstrap(): Promise<void> {
    for (const desired of await this.store.load()) this.known.restore(desired);
    this.unsubscribe.push(
      ...this.catalog.allRunners.map((runner) =>
        runner.onChange(() => {
          this.probeAll((worker) => worker.state.backend === runner.backend);
        }),
      ),
    );
    const transitions = this.journal.transitions.subscribe(() => {
      this.publishTenants();
    });
    this.unsubscribe.push(() => {
      transitions.unsubscribe();
    });
    this.adoption.begin();
    this.recovered = true;
    for (const worker of this.known.workers) worker.wake();
  }

  /**
   * Servers go on, or end too, as `shutdown.policy` says. Before the listener closes, so that whoever waits for a stop
   * gets an answer.
   */
  async beforeApplicationShutdown(): Promise<void> {
    this.closing = true;
    for (const unsubscribe of this.unsubscribe) unsubscribe();
    await this.shutdown.run(async () => {
      await this.adoption.close();
      await Promise.all(this.known.workers.map((worker) => worker.close()));
      if (this.shutdown.stopsServers) this.serveNoMore();
    });
  }

  /**
   * Accepts a start: from here on it comes true, or is an ERROR that says why.
   * @throws UnknownModelError, InvalidOptionsError, GpuNotFoundError, OptionsConflictError, PlacementOverlapError,
   * GpuMemoryShortError, GpuExclusiveError, StateWriteError, and what the runner's preflight finds; nothing has changed
   * then
   */
  async start(modelName: string, gpuId: number, config: Record<string, unknown>): Promise<DeploymentView> {
    this.assertOpen();
    const asked = await this.checks.read(modelName, gpuId, config);
    const { runner, gpus } = asked;
    if (!this.known.find(modelName)) await this.adoption.settled(runner.backend);
    const worker = this.known.workerOf(runner, modelName);
    return worker.records.lock.runExclusive(async () => {
      this.assertOpen();
      const { state } = worker;
      const existing = state.servingOn(gpuId);
      const options = this.checks.optionsFor(asked, state);
      if (existing?.isActive) return this.view(state, existing);
      const gpuIds = this.checks.gpusFor(asked, state, options);
      await this.checks.preflight(asked, state, options);
      const release = await this.room.reserve(
        { modelName, gpuIds, ...this.room.claimOf(runner, modelName, options) },
        gpus,
        () => this.occupants(),
      );
      try {
        return this.view(state, await this.acceptance.start(worker, { gpuId, gpuIds, options }));
      } finally {
        release();
      }
    });
  }

  /**
   * What a start would come to, by the same checks; nothing is changed, or reserved.
   * @throws UnknownModelError, InvalidOptionsError, GpuNotFoundError, and what the GPUs throw: a start that makes no sense
   */
  async foresee(modelName: string, gpuId: number, config: Record<string, unknown>): Promise<StartForecast> {
    this.assertOpen();
    const asked = await this.checks.read(modelName, gpuId, config);
    const { runner, gpus } = asked;
    const state = this.known.stateOf(runner, modelName);
    const existing = state.servingOn(gpuId);
    const isThere = existing?.isActive ?? false;
    let refusal: DomainError | undefined;
    let { options } = asked;
    let gpuIds = existing?.gpuIds ?? runner.gpusOf(gpuId, options);
    try {
      options = this.checks.optionsFor(asked, state);
      if (!isThere) {
        gpuIds = this.checks.gpusFor(asked, state, options);
        await this.checks.preflight(asked, state, options);
      }
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      refusal = error;
    }
    const claim = this.room.claimOf(runner, modelName, options);
    const rooms = await this.room.survey({ modelName, ...claim }, gpus, () => this.occupants());
    refusal ??= isThere ? undefined : gpuIds.map((id) => rooms.get(id)?.refusal).find((each) => each);
    return {
      modelName,
      backend: runner.backend,
      gpuId,
      gpuIds,
      would: refusal ? 'refuse' : isThere ? 'nothing' : 'start',
      refusal,
      need: claim.need,
      gpus: rooms,
    };
  }

  /**
   * Accepts a stop, and waits until the backend has let go.
   * @throws UnknownModelError, NotPlacedError, StateWriteError; StopTimeoutError and the runner's errors when it was
   * accepted and is not done: it goes on in the background
   */
  async stop(modelName: string, gpuId: number, asked: StopRequested = {}): Promise<DeploymentView> {
    this.assertOpen();
    const worker = await this.placedWorker(modelName, gpuId);
    const { placement, done } = await worker.records.lock.runExclusive(() => {
      this.assertOpen();
      return this.acceptance.stop(worker, gpuId, asked);
    });
    const stopped = await untilLetGo(worker, placement.gpuId, done);
    return this.view(worker.state, stopped);
  }

  /**
   * Has a placement sleep or wake, and waits until the backend has done it.
   * @throws UnknownModelError, NotPlacedError, and what `Sleeps.ask` throws
   */
  async sleepOrWake(modelName: string, gpuId: number, wish: SleepWish): Promise<DeploymentView> {
    this.assertOpen();
    const worker = await this.placedWorker(modelName, gpuId);
    const asked = await worker.records.lock.runExclusive(() => {
      this.assertOpen();
      const { state } = worker;
      const placement = state.servingOn(gpuId) ?? state.releasingOn(gpuId);
      if (!placement) throw notPlaced(modelName, gpuId);
      return { placement, done: worker.sleeps.ask(placement, wish) };
    });
    await asked.done;
    return this.view(worker.state, asked.placement);
  }

  /** `MAM@0` for all that the server of this name serves, starts or is letting go of. Never waits. */
  placementsOn(serverName: string): string[] {
    return this.serverEnd.placementsOn(serverName);
  }

  /**
   * Ends a server by force, whatever it serves: its placements go to ERROR and are not brought back.
   * @returns `MAM@0` for each of these
   * @throws ShuttingDownError and what `ServerEnd.run` throws
   */
  async endServer(serverName: string, by: string): Promise<string[]> {
    this.assertOpen();
    return this.serverEnd.run(serverName, by);
  }

  /** Every deployment that has a placement. Never waits. */
  deployments(): DeploymentState[] {
    return this.known.placed();
  }

  /** Something starts or stops. */
  get isBusy(): boolean {
    return this.known.workers.some((worker) => worker.isBusy);
  }

  /** What is wanted of a backend, or still to be let go of, also of models that the configuration does not have. */
  needed(backend: string): Needed[] {
    return this.known.needed(backend);
  }

  /** What runs of this backend is not all known yet: none of it is an orphan. */
  isAdopting(backend: string): boolean {
    return this.adoption.isDue(backend);
  }

  /** Looks at the backends of the chosen deployments. Never waits. */
  probeAll(chosen: (worker: DeploymentWorker) => boolean = () => true): void {
    if (!this.isReady) return;
    for (const worker of this.known.workers) if (!worker.state.isEmpty && chosen(worker)) worker.probe();
    this.publishTenants();
  }

  /** Nothing is RUNNING by hearsay while the servers end; on disk it stays wanted. */
  private serveNoMore(): void {
    for (const state of this.deployments()) {
      for (const placement of state.active().filter((each) => each.status === 'RUNNING')) {
        this.journal.record(state, placement, 'lost', 'its server is stopped with this service');
        placement.progress = 'stopped with this service; starts again with it';
      }
    }
  }

  /**
   * What serves is wanted, as if the state had said so all along. A model that has a worker was known since the state
   * was lost: what its commands say counts, not what was seen before them.
   */
  private async takeUp(runner: Runner, { modelName, gpuIds, options }: Deployment): Promise<void> {
    if (this.known.find(modelName)) return;
    const now = this.clock.now().toISOString();
    const desired: DesiredDeployment = {
      model_name: modelName,
      model_type: runner.backend,
      options: { ...options },
      placements: gpuIds.map((gpuId) => ({ gpu_id: gpuId, wanted: 'serve' })),
      created_at: now,
      updated_at: now,
    };
    await this.store.put(modelName, desired);
    this.logger.warn({ desired }, 'The state was lost: a model that serves is taken up');
    this.known.restore(desired);
    this.known.find(modelName)?.wake();
    this.publishTenants();
  }

  private async placedWorker(modelName: string, gpuId: number): Promise<DeploymentWorker> {
    const { backend } = this.catalog.runnerOf(modelName, 'not_found');
    if (!this.known.find(modelName)) await this.adoption.settled(backend);
    const worker = this.known.find(modelName);
    if (!worker) throw notPlaced(modelName, gpuId);
    return worker;
  }

  /** Every placement that holds memory of a GPU, or is to. */
  occupants(): Occupant[] {
    return this.deployments().flatMap((state) => {
      const runner = this.catalog.runnerOf(state.modelName, 'not_found');
      return occupantsOf(state, this.room.claimOf(runner, state.modelName, state.options));
    });
  }

  private view(deployment: DeploymentState, placement: Placement | undefined): DeploymentView {
    const held = deployment.visible();
    for (const gpuId of placement?.gpuIds ?? []) {
      if (placement && !held.some((each) => each.gpuId === gpuId)) held.push({ gpuId, placement });
    }
    held.sort((a, b) => a.gpuId - b.gpuId);
    const runner = this.catalog.runnerOf(deployment.modelName, 'not_found');
    return { deployment, placement, held, instancesPerGpu: runner.instancesPerGpu(deployment.options) };
  }

  private publishTenants(): void {
    this.tenants.replace(this.deployments().flatMap((each) => tenantsOf(each, this.catalog)));
  }

  private assertOpen(): void {
    if (this.closing)
      throw new ShuttingDownError('This service is shutting down and takes no more commands.');
    if (!this.recovered)
      throw new ShuttingDownError('This service is starting and takes no commands yet: try again.');
  }
}
