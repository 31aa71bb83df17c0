import { type BeforeApplicationShutdown, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { GpuOccupants } from '../../gpus/gpu-occupants.js';
import type { Needed } from '../../runners/unneeded.js';
import { DesiredStateStore } from '../../state/desired-state.store.js';
import { Catalog } from '../deployment/catalog.js';
import type { DeploymentState, OccupiedGpu } from '../deployment/deployment-state.js';
import { DeploymentStates } from '../deployment/deployment-states.js';
import { notPlaced, ShuttingDownError } from '../deployment/errors.js';
import type { Placement } from '../deployment/placement.js';
import { PlacementJournal } from '../deployment/placement-journal.js';
import type { Occupant } from '../room/occupant.js';
import type { DeploymentWorkers } from '../worker/deployment-workers.js';
import type { SleepWish } from '../worker/sleeps.js';
import { Acceptance, type StopRequested, untilLetGo } from './acceptance.js';
import { Adoption } from './adoption.js';
import { BadGpus } from './bad-gpus.js';
import { Deployments } from './deployments.js';
import { GpuWhereabouts } from './gpu-whereabouts.js';
import { OnGpus } from './on-gpus.js';
import { ServerEnd } from './server-end.js';
import { ServerShutdown } from './shutdown.js';
import type { StartForecast } from './start-checks.js';
import { StartCommands } from './start-commands.js';

/** A deployment as it is now, and the placement that a command was about. */
export interface DeploymentView {
  readonly deployment: DeploymentState;
  readonly placement: Placement | undefined;
  /** All GPUs to show: those that are held, and those of the placement that has just stopped. */
  readonly held: readonly OccupiedGpu[];
  readonly instancesPerGpu: number;
  /** Why what was done is not on disk. */
  readonly unsaved?: string | undefined;
}

/** Takes commands, writes down what is wanted, and has the workers bring it about. */
@Injectable()
export class Supervisor implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly unsubscribe: (() => void)[] = [];
  private closing = false;
  private recovered = false;

  constructor(
    private readonly catalog: Catalog,
    private readonly store: DesiredStateStore,
    private readonly journal: PlacementJournal,
    private readonly states: DeploymentStates,
    private readonly known: Deployments,
    private readonly starts: StartCommands,
    private readonly acceptance: Acceptance,
    private readonly serverEnd: ServerEnd,
    private readonly adoption: Adoption,
    private readonly onGpus: OnGpus,
    private readonly shutdown: ServerShutdown,
    private readonly gpuOccupants: GpuOccupants,
    private readonly whereabouts: GpuWhereabouts,
    private readonly badGpus: BadGpus,
  ) {}

  /** The state of the last run has been read, and is being brought about. */
  get isReady(): boolean {
    return this.recovered && !this.closing;
  }

  async onApplicationBootstrap(): Promise<void> {
    for (const desired of await this.store.load()) this.known.restore(desired);
    this.unsubscribe.push(await this.whereabouts.begin());
    this.unsubscribe.push(this.badGpus.begin());
    this.unsubscribe.push(
      ...this.catalog.allRunners.map((runner) =>
        runner.onChange(() => {
          this.probeAll(({ state }) => state.backend === runner.backend);
        }),
      ),
    );
    const changes = this.journal.changes.subscribe(() => {
      this.publishOccupants();
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
   * @param request id of the request, for the log
   * @throws ShuttingDownError and what `StartCommands.start` throws
   */
  async start(
    modelName: string,
    gpuId: number,
    config: Record<string, unknown>,
    request?: string,
  ): Promise<DeploymentView> {
    this.assertOpen();
    const assertOpen = (): void => {
      this.assertOpen();
    };
    const { state, placement } = await this.starts.start(modelName, gpuId, config, { assertOpen, request });
    return this.view(state, placement);
  }

  /** @throws ShuttingDownError and what `StartCommands.foresee` throws */
  async foresee(modelName: string, gpuId: number, config: Record<string, unknown>): Promise<StartForecast> {
    this.assertOpen();
    return this.starts.foresee(modelName, gpuId, config);
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
    return { ...this.view(workers.state, stopped), unsaved: this.unsaved };
  }

  /**
   * Has a placement sleep or wake, and waits until the backend has done it.
   * @throws UnknownModelError, NotPlacedError, and what `Sleeps.ask` throws
   */
  async sleepOrWake(
    modelName: string,
    gpuId: number,
    wish: SleepWish,
    request?: string,
  ): Promise<DeploymentView> {
    this.assertOpen();
    const workers = await this.placed(modelName, gpuId);
    const { state } = workers;
    const asked = await workers.records.lock.runExclusive(() => {
      this.assertOpen();
      const placement = state.servingOn(gpuId) ?? state.releasingOn(gpuId);
      if (!placement) throw notPlaced(modelName, gpuId);
      return { placement, done: workers.on(placement.gpuId).sleeps.ask(placement, wish, request) };
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
  async endServer(serverName: string, by: string, request?: string): Promise<string[]> {
    this.assertOpen();
    return this.serverEnd.run(serverName, by, request);
  }

  /** Why something that was done is not on disk, and would be unknown to the next run; `undefined`: all of it is. */
  get unsaved(): string | undefined {
    return this.store.unsaved;
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
    this.publishOccupants();
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
    if (!this.isPlaced(modelName) && !this.catalog.find(modelName)) await this.adoption.allSettled();
    if (!this.isPlaced(modelName)) this.catalog.runnerOf(modelName, 'not_found');
    await this.starts.arrivals.before(modelName, gpuId);
    const runner = this.catalog.find(modelName);
    if (runner && !this.known.find(modelName)) await this.adoption.settled(runner.backend);
    const workers = this.known.find(modelName);
    if (!workers) throw notPlaced(modelName, gpuId);
    return workers;
  }

  /** Something of the model is there, whether or not the configuration has it. */
  private isPlaced(modelName: string): boolean {
    return this.states.find(modelName)?.isEmpty === false;
  }

  /** Every placement that holds memory of a GPU, or is to. */
  occupants(): Occupant[] {
    return this.onGpus.occupants();
  }

  private view(deployment: DeploymentState, placement: Placement | undefined): DeploymentView {
    const held = deployment.visible();
    for (const gpuId of placement?.gpuIds ?? []) {
      if (placement && !held.some((each) => each.gpuId === gpuId)) held.push({ gpuId, placement });
    }
    held.sort((a, b) => a.gpuId - b.gpuId);
    const { runner, options, modelName } = deployment;
    return { deployment, placement, held, instancesPerGpu: runner.instancesPerGpu(options, modelName) };
  }

  private publishOccupants(): void {
    this.gpuOccupants.replace(this.onGpus.shown());
  }

  private assertOpen(): void {
    if (this.closing)
      throw new ShuttingDownError('This service is shutting down and takes no more commands.');
    if (!this.recovered)
      throw new ShuttingDownError('This service is starting and takes no commands yet: try again.');
  }
}
