import { type BeforeApplicationShutdown, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { DomainError } from '../../common/errors.js';
import { GpuTenants } from '../../gpus/gpu-tenants.js';
import type { DeploymentOptions } from '../../runners/runner.js';
import type { Needed } from '../../runners/unneeded.js';
import { DesiredStateStore } from '../../state/desired-state.store.js';
import { Catalog } from '../deployment/catalog.js';
import type { DeploymentState, HeldGpu } from '../deployment/deployment-state.js';
import { DeploymentStates } from '../deployment/deployment-states.js';
import { notPlaced, ShuttingDownError } from '../deployment/errors.js';
import type { Placement } from '../deployment/placement.js';
import { PlacementJournal } from '../deployment/placement-journal.js';
import { GpuRoom } from '../room/gpu-room.js';
import type { Occupant } from '../room/occupant.js';
import type { DeploymentWorkers } from '../worker/deployment-workers.js';
import type { SleepWish } from '../worker/sleeps.js';
import { Acceptance, type StopRequested, untilLetGo } from './acceptance.js';
import { Adoption } from './adoption.js';
import { Arrivals } from './arrivals.js';
import { Deployments } from './deployments.js';
import { occupantsOf, tenantsOf } from './on-gpus.js';
import { ServerEnd } from './server-end.js';
import { ServerShutdown } from './shutdown.js';
import { sameOptions, type StartAsked, StartChecks, type StartForecast } from './start-checks.js';

/** A deployment as it is now, and the placement that a command was about. */
export interface DeploymentView {
  readonly deployment: DeploymentState;
  readonly placement: Placement | undefined;
  /** All GPUs to show: those that are held, and those of the placement that has just stopped. */
  readonly held: readonly HeldGpu[];
  readonly instancesPerGpu: number;
}

/** A start whose checks found nothing in the way; its room is held until `release`. */
interface Permit {
  readonly options: DeploymentOptions;
  readonly release: () => void;
}

/** Takes commands, writes down what is wanted, and has the workers bring it about. */
@Injectable()
export class Supervisor implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly unsubscribe: (() => void)[] = [];
  private readonly arrivals = new Arrivals();
  private closing = false;
  private recovered = false;

  constructor(
    private readonly catalog: Catalog,
    private readonly store: DesiredStateStore,
    private readonly journal: PlacementJournal,
    private readonly states: DeploymentStates,
    private readonly known: Deployments,
    private readonly checks: StartChecks,
    private readonly acceptance: Acceptance,
    private readonly serverEnd: ServerEnd,
    private readonly adoption: Adoption,
    private readonly room: GpuRoom,
    private readonly shutdown: ServerShutdown,
    private readonly tenants: GpuTenants,
  ) {}

  /** The state of the last run has been read, and is being brought about. */
  get isReady(): boolean {
    return this.recovered && !this.closing;
  }

  async onApplicationBootstrap(): Promise<void> {
    for (const desired of await this.store.load()) this.known.restore(desired);
    this.unsubscribe.push(
      ...this.catalog.allRunners.map((runner) =>
        runner.onChange(() => {
          this.probeAll(({ state }) => state.backend === runner.backend);
        }),
      ),
    );
    const changes = this.journal.changes.subscribe(() => {
      this.publishTenants();
    });
    this.unsubscribe.push(() => {
      changes.unsubscribe();
    });
    this.adoption.begin();
    this.recovered = true;
    for (const workers of this.known.all) workers.wake();
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
      await Promise.all(this.known.all.map((workers) => workers.close()));
      if (this.shutdown.stopsServers) this.serveNoMore();
    });
  }

  /**
   * Accepts a start: from here on it comes true, or is an ERROR that says why. The checks that ask somebody are made before
   * the lock of the deployment is taken, so that an Engine that hangs holds up this start alone; what this service itself
   * may have changed meanwhile is checked again under the lock.
   * @throws UnknownModelError, InvalidOptionsError, GpuNotFoundError, OptionsConflictError, PlacementOverlapError,
   * GpuMemoryShortError, GpuExclusiveError, StateWriteError, and what the runner's preflight finds; nothing has changed
   * then
   */
  async start(modelName: string, gpuId: number, config: Record<string, unknown>): Promise<DeploymentView> {
    this.assertOpen();
    const wish = this.checks.read(modelName, gpuId, config);
    const { runner, options } = wish;
    return this.arrivals.during({ modelName, gpuIds: runner.gpusOf(gpuId, options) }, async () => {
      const asked = await this.checks.onGpus(wish);
      if (!this.known.find(modelName)) await this.adoption.settled(runner.backend);
      return this.acceptStart(asked, this.known.of(runner, modelName));
    });
  }

  private async acceptStart(asked: StartAsked, workers: DeploymentWorkers): Promise<DeploymentView> {
    const { gpuId } = asked;
    for (;;) {
      const { state } = workers;
      const options = this.checks.optionsFor(asked, state);
      const existing = state.servingOn(gpuId);
      if (existing?.isActive) return this.view(state, existing);
      const permit = await this.permitUnlessAccepted(asked, state, options);
      if (!permit) continue;
      try {
        const placement = await this.accept(asked, workers, permit);
        if (placement) return this.view(state, placement);
      } finally {
        permit.release();
      }
    }
  }

  /**
   * `undefined`: something is in the way, which may be the placement itself: another start of it was accepted meanwhile.
   * @throws like `start`
   */
  private async permitUnlessAccepted(
    asked: StartAsked,
    state: DeploymentState,
    options: DeploymentOptions,
  ): Promise<Permit | undefined> {
    try {
      return await this.permit(asked, state, options);
    } catch (error) {
      if (state.servingOn(asked.gpuId)?.isActive) return undefined;
      throw error;
    }
  }

  /** Asks whoever may be in the way, and holds the room. @throws like `start` */
  private async permit(
    asked: StartAsked,
    state: DeploymentState,
    options: DeploymentOptions,
  ): Promise<Permit> {
    const { runner, modelName, gpus } = asked;
    const gpuIds = this.checks.gpusFor(asked, state, options);
    await this.checks.preflight(asked, state, options);
    const release = await this.room.reserve(
      { modelName, gpuIds, ...this.room.claimOf(runner, modelName, options) },
      gpus,
      () => this.occupants(),
    );
    return { options, release };
  }

  /** `undefined`: the options that were permitted are not those of the model any more. @throws like `start` */
  private accept(
    asked: StartAsked,
    workers: DeploymentWorkers,
    permit: Permit,
  ): Promise<Placement | undefined> {
    const { state, records } = workers;
    const { gpuId } = asked;
    return records.lock.runExclusive(async () => {
      this.assertOpen();
      const options = this.checks.optionsFor(asked, state);
      const existing = state.servingOn(gpuId);
      if (existing?.isActive) return existing;
      if (!sameOptions(options, permit.options)) return undefined;
      const gpuIds = this.checks.gpusFor(asked, state, options);
      return this.acceptance.start(workers, { gpuId, gpuIds, options });
    });
  }

  /**
   * What a start would come to, by the same checks; nothing is changed, or reserved.
   * @throws UnknownModelError, InvalidOptionsError, GpuNotFoundError, and what the GPUs throw: a start that makes no sense
   */
  async foresee(modelName: string, gpuId: number, config: Record<string, unknown>): Promise<StartForecast> {
    this.assertOpen();
    const asked = await this.checks.onGpus(this.checks.read(modelName, gpuId, config));
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
    const workers = await this.placed(modelName, gpuId);
    const { placement, done } = await workers.records.lock.runExclusive(() => {
      this.assertOpen();
      return this.acceptance.stop(workers, gpuId, asked);
    });
    const stopped = await untilLetGo(workers, placement.gpuId, done);
    return this.view(workers.state, stopped);
  }

  /**
   * Has a placement sleep or wake, and waits until the backend has done it.
   * @throws UnknownModelError, NotPlacedError, and what `Sleeps.ask` throws
   */
  async sleepOrWake(modelName: string, gpuId: number, wish: SleepWish): Promise<DeploymentView> {
    this.assertOpen();
    const workers = await this.placed(modelName, gpuId);
    const { state } = workers;
    const asked = await workers.records.lock.runExclusive(() => {
      this.assertOpen();
      const placement = state.servingOn(gpuId) ?? state.releasingOn(gpuId);
      if (!placement) throw notPlaced(modelName, gpuId);
      return { placement, done: workers.on(placement.gpuId).sleeps.ask(placement, wish) };
    });
    await asked.done;
    return this.view(state, asked.placement);
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
    return this.states.placed();
  }

  /** Something starts or stops. */
  get isBusy(): boolean {
    return this.known.all.some((workers) => workers.isBusy);
  }

  /** What is wanted of a backend, or still to be let go of, also of models that the configuration does not have. */
  needed(backend: string): Needed[] {
    return this.states.needed(backend);
  }

  /** What runs of this backend is not all known yet: none of it is an orphan. */
  isAdopting(backend: string): boolean {
    return this.adoption.isDue(backend);
  }

  /** Looks at the backends of the chosen deployments. Never waits. */
  probeAll(chosen: (workers: DeploymentWorkers) => boolean = () => true): void {
    if (!this.isReady) return;
    for (const workers of this.known.all) if (chosen(workers)) workers.probe();
    this.publishTenants();
  }

  /** Nothing is RUNNING by hearsay while the servers end; on disk it stays wanted. */
  private serveNoMore(): void {
    for (const state of this.deployments()) {
      for (const placement of state.active().filter((each) => each.status === 'RUNNING')) {
        this.journal.record(state, placement, 'lost', 'its server is stopped with this service');
        placement.tell('stopped with this service; starts again with it');
      }
    }
  }

  private async placed(modelName: string, gpuId: number): Promise<DeploymentWorkers> {
    const { backend } = this.catalog.runnerOf(modelName, 'not_found');
    await this.arrivals.before(modelName, gpuId);
    if (!this.known.find(modelName)) await this.adoption.settled(backend);
    const workers = this.known.find(modelName);
    if (!workers) throw notPlaced(modelName, gpuId);
    return workers;
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
