import type * as z from 'zod';
import type { DomainError } from '../common/errors.js';
import type { GpuSight } from '../launchers/launcher.js';
import type { Adoptable, Deployment, DeploymentOptions, GpuNeeds, GpuRef } from './deployment.js';
import type { PlacementObservation, Workload } from './observation.js';
import type { PreflightContext, RunnerContext, StopContext, WaitContext } from './runner-context.js';
import type { Canary, EndedPart, ModelLiveness, ProgressReading, Trouble } from './progress.js';
import { type SleepContext, type SleepLevel, SleepNotSupportedError } from './sleep.js';
import type { Needed, RemovalManner, Unneeded } from './unneeded.js';

/**
 * Knows one backend: turns deployments into servers that serve them, and says what is true (the seed's "BaseRunner").
 * `start`, `stop`, `stopByForce`, `recycle`, `sleep` and `wake` are called for one unit one after another, for different units
 * side by side; their deployments hold the GPUs of that unit alone.
 */
export abstract class Runner {
  /** `model_type` of the API. */
  abstract readonly backend: string;
  /** The models of this backend, by the configuration. */
  abstract readonly models: readonly string[];
  /** What `StartRequest.config` may hold. */
  abstract readonly optionsSchema: z.ZodType<DeploymentOptions>;
  /** The same of one model, where it depends on that. */
  optionsSchemaOf(_modelName: string): z.ZodType<DeploymentOptions> {
    return this.optionsSchema;
  }

  /** Whether the configuration says enough to start a model: a start without that is not implemented here (501). */
  canStart(_modelName: string): boolean {
    return true;
  }

  /** Longest time, ms, a start or a stop takes by itself before it is an error. */
  abstract readonly startTimeoutMs: number;
  abstract readonly stopTimeoutMs: number;
  /** Its server measures the GPUs' free memory as it starts: two of them must not start at once on one GPU. */
  measuresFreeMemory(_modelName: string): boolean {
    return false;
  }

  /** The options of a model where a start says nothing. */
  abstract defaultOptions(modelName: string): DeploymentOptions;

  /** Execution instances per GPU under these options. */
  abstract instancesPerGpu(options: DeploymentOptions, modelName: string): number;

  /** The port under which a model will be served, where that is known before its server runs. */
  expectedPort(_modelName: string): number | null {
    return null;
  }

  /** Name of the server that serves a model on a GPU, or will; `null` where that is not known before it runs. */
  serverNameOf(_modelName: string, _gpuId: number): string | null {
    return null;
  }

  /**
   * The unit that one call changes: what has its own steps, tries and clocks. By default the server; of a server that
   * models share, whose models are loaded one by one, the model.
   */
  unitOf(modelName: string, gpuId: number): string {
    return this.serverNameOf(modelName, gpuId) ?? modelName;
  }

  /** What one placement asks of its GPU, by the configuration. */
  gpuNeeds(_modelName: string, _options: DeploymentOptions): GpuNeeds {
    return { memoryMiB: null, policy: 'shared' };
  }

  /** The GPUs that a placement on `gpuId` holds under these options, that one first. */
  gpusOf(gpuId: number, _options: DeploymentOptions): readonly number[] {
    return [gpuId];
  }

  /**
   * The options of a placement as a start would say them now that its GPUs have these indices: what names them by index
   * follows them.
   */
  optionsOn(options: DeploymentOptions, _gpuIds: readonly number[]): DeploymentOptions {
    return options;
  }

  /** Time, seconds, that requests get before a stop that does not say itself; by the configuration. */
  drainSeconds(_modelName: string): number {
    return 0;
  }

  /**
   * Why nobody can count the requests of a model, by the configuration, and what to do about it: one sentence. A drain waits
   * for nothing then. `undefined`: they are counted, as far as the configuration tells.
   */
  cannotDrain(_modelName: string): string | undefined {
    return undefined;
  }

  /** The same of whether a model that serves gets its requests done. */
  cannotFollow(_modelName: string): string | undefined {
    return undefined;
  }

  /**
   * What the backend has still to do that a stop of `gpuIds` would interrupt. `deployment.gpuIds` are those that serve on.
   * `null`: nothing, or it cannot tell; nobody waits then.
   * @throws whatever keeps the backend from answering
   */
  workload(
    _deployment: Deployment,
    _gpuIds: readonly number[],
    _signal: AbortSignal,
  ): Promise<Workload | null> {
    return Promise.resolve(null);
  }

  /**
   * The GPUs of the host that a placement with these options cannot be on, whoever is there, each with what `preflight`
   * would say.
   * @throws whatever keeps those who know from answering
   */
  unusableGpus(
    _modelName: string,
    _options: DeploymentOptions,
    _gpus: readonly GpuRef[],
    _signal: AbortSignal,
  ): Promise<ReadonlyMap<number, DomainError>> {
    return Promise.resolve(new Map());
  }

  /**
   * The checks of a start that change nothing.
   * @throws DomainError that says what stands in the way
   */
  abstract preflight(deployment: Deployment, context: PreflightContext): Promise<void>;

  /**
   * Resolves when other models that it is made of serve, so that a start of it makes sense. No load is under way meanwhile.
   * Has no deadline of its own: what is waited for has.
   * @throws DomainError where waiting longer would not help: a final failure of the start; the signal's reason
   */
  untilStartable(_deployment: Deployment, _context: WaitContext): Promise<void> {
    return Promise.resolve();
  }

  /**
   * Makes the model serve on every GPU of the deployment. Idempotent; interrupts nothing that serves already.
   * @throws ServerLostError when trying again may help; any other error, ServerUnfitError among them, is final
   */
  abstract start(deployment: Deployment, context: RunnerContext): Promise<void>;

  /**
   * Takes `gpuIds` away. `deployment.gpuIds` are those that stay; none: the model is gone afterwards, and so is its
   * server if nothing else needs it. Idempotent.
   */
  abstract stop(deployment: Deployment, gpuIds: readonly number[], context: StopContext): Promise<void>;

  /**
   * The same without asking: the server is ended by force. What else it served is lost with it, other models and the GPUs
   * in `deployment.gpuIds` included, and brought back like anything lost. Idempotent.
   * @throws StopFailedError
   */
  abstract stopByForce(
    deployment: Deployment,
    gpuIds: readonly number[],
    context: RunnerContext,
  ): Promise<void>;

  /**
   * Ends the deployment's server by force if it still does not answer, and says whether it did; a server that answers is
   * left alone. What else it served is lost with it, and brought back like anything lost.
   * @throws StopFailedError
   */
  abstract recycle(deployment: Deployment, context: RunnerContext): Promise<boolean>;

  /** How long the requests of a model may take, by the configuration. */
  livenessOf(_modelName: string): ModelLiveness {
    return {};
  }

  /**
   * What the backend counts of the requests of a unit that serves; cheap, and asked now and then. `null`: it does not count.
   * @throws whatever keeps the backend from answering
   */
  progress(_deployment: Deployment, _signal: AbortSignal): Promise<ProgressReading | null> {
    return Promise.resolve(null);
  }

  /**
   * Whether the server of a unit that serves reaches its GPUs. An answer up to `maxAgeMs` old will do: units may share it.
   * @throws whatever keeps those who know from answering
   */
  gpuSight(_deployment: Deployment, _maxAgeMs: number, _signal: AbortSignal): Promise<GpuSight> {
    return Promise.resolve('unknown');
  }

  /** For a unit that nobody asks anything: a request that shows whether it would answer. */
  canaryOf(_deployment: Deployment): Canary | undefined {
    return undefined;
  }

  /**
   * Ends what does not get on: the model, where its server can go on, else the server, by force. What served there is brought
   * back like anything lost. A server that has replaced the run of `trouble` is left alone. @throws StopFailedError
   */
  async endStuck(deployment: Deployment, _trouble: Trouble, context: RunnerContext): Promise<EndedPart> {
    await this.stopByForce({ ...deployment, gpuIds: [] }, deployment.gpuIds, context);
    return 'server';
  }

  /**
   * What the server of a model that has left may still hold of a GPU, MiB; with more, it is started anew when it is idle.
   * `null`: never.
   */
  heldLimitMiB(_modelName: string): number | null {
    return null;
  }

  /**
   * Ends the deployment's server politely, with all that it serves, and says whether it did; it is started anew like
   * anything lost.
   * @param isQuiet nothing is under way on it; asked when no launch and no stop can come between
   * @throws StopFailedError
   */
  renew(_deployment: Deployment, _isQuiet: () => boolean, _context: RunnerContext): Promise<boolean> {
    return Promise.resolve(false);
  }

  /** Longest time, ms, that a sleep or a wake takes before it is an error; `null`: models of this backend cannot sleep. */
  readonly sleepTimeoutMs: number | null = null;

  /**
   * Has a placement give its GPU's memory back and keep its server. Interrupts no request; resolves when the backend says
   * that it sleeps. Idempotent: what sleeps already stays at its level. Takes turns with `start` and `stop` of the unit.
   * @throws SleepNotSupportedError, SleepUnavailableError, SleepFailedError
   */
  sleep(_deployment: Deployment, _gpuId: number, _level: SleepLevel, _context: SleepContext): Promise<void> {
    return Promise.reject(new SleepNotSupportedError(this.backend));
  }

  /** Has it serve again, as it did before; resolves when the backend says so. Idempotent. @throws like `sleep` */
  wake(_deployment: Deployment, _gpuId: number, _context: SleepContext): Promise<void> {
    return Promise.reject(new SleepNotSupportedError(this.backend));
  }

  /**
   * What is true now, one observation per GPU of the deployment. Never throws for a dead backend, and comes back with
   * what it knows soon after the signal aborts.
   * @param gpus every GPU of the host, as last seen; none: that is not known
   */
  abstract getStatus(
    deployment: Deployment,
    signal: AbortSignal,
    gpus?: readonly GpuRef[],
  ): Promise<readonly PlacementObservation[]>;

  /**
   * What serves, or is being loaded, under this service's label: models of the configuration, and those that it has lost, each
   * on the server that is taken over for it. The state was lost; it is wanted again then. Changes nothing.
   * @throws EngineUnavailableError when nobody can tell
   */
  adoptable(_signal: AbortSignal): Promise<Adoptable> {
    return Promise.resolve({ deployments: [] });
  }

  /**
   * Every server of this service for this backend that none of the `needed` placements needs, the dead included, whichever
   * run of the service launched it; and the models that nobody needs in the others.
   * @throws EngineUnavailableError when nobody can tell
   */
  abstract findUnneeded(needed: readonly Needed[], signal: AbortSignal): Promise<readonly Unneeded[]>;

  /**
   * Removes it, unless it is needed by then or has been replaced; `needed` is asked when nothing can come between. Says
   * whether it did; its processes are gone then.
   * @throws StopFailedError, EngineUnavailableError
   */
  abstract removeUnneeded(
    unneeded: Unneeded,
    needed: () => readonly Needed[],
    manner: RemovalManner,
    signal: AbortSignal,
  ): Promise<boolean>;

  /** Calls `listener` when something happened to a server that is worth a look at once. */
  abstract onChange(listener: () => void): () => void;
}

/** Other models of the backend are served by the same server on this GPU, or might be. */
export function mayShareServer(runner: Runner, modelName: string, gpuId: number): boolean {
  const server = runner.serverNameOf(modelName, gpuId);
  return runner.models.some((each) => each !== modelName && runner.serverNameOf(each, gpuId) === server);
}

/** Token of all runners. */
export const RUNNER = Symbol('RUNNER');
