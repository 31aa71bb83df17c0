import { deadline } from '../../common/deadline.js';
import { DomainError, messageOf, systemCodeOf } from '../../common/errors.js';
import type { TritonConfig } from './triton-section.js';
import type { Launcher } from '../../launchers/launcher.js';
import { NameLocks } from '../../launchers/name-locks.js';
import { StopFailedError } from '../../launchers/launcher.js';
import {
  type Adoptable,
  BackendTimeoutError,
  type Deployment,
  type DeploymentOptions,
  type GpuNeeds,
  type GpuRef,
  ModelLoadError,
  type PlacementObservation,
  type PlacementPhase,
  Runner,
  type RunnerContext,
  type StopContext,
  type Workload,
} from '../runner.js';
import type { RunnerHost } from '../runner-host.js';
import type { Needed, RemovalManner, Unneeded } from '../unneeded.js';
import { unseenAs } from '../unseen.js';
import { GpuVisibility } from './gpu-visibility.js';
import { hasGroup, serves } from './instance-groups.js';
import { stopGraceSeconds, TRITON } from './launch-spec.js';
import { ModelRepository } from './model-repository.js';
import type { IndexRow } from './triton-client.js';
import { modelGpuConfig, type TritonOptions, tritonOptionsSchema } from './triton-options.js';
import type { RunningTriton, TritonServer } from './triton-server.js';
import { TritonAdoption } from './triton-adoption.js';
import { TritonInventory } from './triton-inventory.js';
import { TritonServers } from './triton-servers.js';
import { unloadFully } from './unload.js';

/** Time of the launcher to say whether the server runs; what a probe has beyond that is for the server itself. */
const INSPECT_TIMEOUT_MS = 1000;

type PhaseOfGpu = (gpuId: number) => readonly [PlacementPhase, string?];

/** Serves models from Triton: one shared server, and a dedicated one for each model that wants it. */
export class TritonRunner extends Runner {
  readonly backend = TRITON;
  readonly models: readonly string[];
  readonly optionsSchema = tritonOptionsSchema;
  readonly startTimeoutMs: number;
  readonly stopTimeoutMs: number;
  private readonly launcher: Launcher;
  private readonly repository: ModelRepository;
  private readonly visibility: GpuVisibility;
  private readonly servers: TritonServers;
  private readonly inventory: TritonInventory;
  private readonly adoption: TritonAdoption;
  /** A load, or the unload of a model that nobody needs, one after another per model. */
  private readonly turns = new NameLocks();
  /** Models whose last load was answered: of any other, a load may still be under way in Triton. */
  private readonly answeredLoads = new Set<string>();
  /** Models that are being unloaded while their requests have time: their server goes on until then. */
  private readonly workingOff = new Map<string, Deployment>();

  constructor(
    private readonly config: TritonConfig,
    { launchers, isPortTaken, pullTimeoutSeconds }: RunnerHost,
  ) {
    super();
    const launcher = launchers.get(config.launcher);
    this.launcher = launcher;
    this.models = config.supported_models;
    this.repository = new ModelRepository(config.model_repository_host_path);
    this.visibility = new GpuVisibility(config.gpus);
    this.servers = new TritonServers(config, launcher, isPortTaken);
    this.inventory = new TritonInventory(launcher, this.servers, this.models);
    this.adoption = new TritonAdoption(launcher, this.servers, this.models, this.repository);
    const pull = config.launcher === 'docker' && config.pull === 'if-missing' ? pullTimeoutSeconds : 0;
    this.startTimeoutMs = (pull + config.server_start_timeout_seconds + config.api_timeout_seconds) * 1000;
    this.stopTimeoutMs = (config.api_timeout_seconds + stopGraceSeconds(config)) * 1000;
  }

  defaultOptions(modelName: string): DeploymentOptions {
    return { instances_per_gpu: modelGpuConfig(this.config, modelName).instances_per_gpu };
  }

  instancesPerGpu(options: DeploymentOptions): number {
    return optionsOf(options).instances_per_gpu;
  }

  override expectedPort(modelName: string): number | null {
    return modelGpuConfig(this.config, modelName).use_dedicated_server ? null : this.config.http_port;
  }

  override serverNameOf(modelName: string): string {
    return this.servers.of(modelName).name;
  }

  /** A load is for all GPUs of a model, and changes no other. */
  override unitOf(modelName: string): string {
    return modelName;
  }

  override drainSeconds(modelName: string): number {
    return modelGpuConfig(this.config, modelName).drain_seconds;
  }

  /** Where the model serves on elsewhere, its other instances take what waits, and those at work finish. */
  override async workload(
    deployment: Deployment,
    _gpuIds: readonly number[],
    signal: AbortSignal,
  ): Promise<Workload | null> {
    if (deployment.gpuIds.length > 0) return null;
    const running = await this.serverOf(deployment).find(signal);
    return running ? running.metrics.workload(deployment.modelName, signal) : null;
  }

  override gpuNeeds(modelName: string): GpuNeeds {
    const { gpu_memory_mb: memoryMiB, gpu_policy: policy } = modelGpuConfig(this.config, modelName);
    return { memoryMiB, policy };
  }

  async preflight(deployment: Deployment, context: RunnerContext): Promise<void> {
    this.visibility.places(deployment.gpuIds, context.gpus);
    await this.repository.check(deployment.modelName);
    await this.serverOf(deployment).check(this.visibility.access(context.gpus), context.signal);
  }

  async start(deployment: Deployment, context: RunnerContext): Promise<void> {
    const server = this.serverOf(deployment);
    const running = await server.ensureLive(this.visibility.access(context.gpus), context);
    context.onProgress(`loading ${deployment.modelName}`);
    await this.turns.run(deployment.modelName, context.signal, () =>
      this.load(server, running, deployment, context),
    );
  }

  async stop(deployment: Deployment, gpuIds: readonly number[], context: StopContext): Promise<void> {
    const server = this.serverOf(deployment);
    if (deployment.gpuIds.length > 0) {
      await this.shrink(server, deployment, gpuIds, context);
      return;
    }
    const isNeeded = (): boolean =>
      [...context.wanted(), ...this.workingOff.values()].some((other) => this.serverOf(other) === server);
    if (context.patienceMs > 0) await this.workOff(server, deployment, context);
    // Others start and stop meanwhile: the model goes with the server, or out of one that stays.
    if (!(await server.stopUnless(isNeeded, context.signal))) {
      const running = await server.findLive(context);
      if (running) await this.unload(server, running, deployment.modelName, gpuIds, context);
      await server.stopUnless(isNeeded, context.signal);
    }
    await this.forgetConfig(deployment.modelName, context);
  }

  async stopByForce(
    deployment: Deployment,
    _gpuIds: readonly number[],
    context: RunnerContext,
  ): Promise<void> {
    await this.serverOf(deployment).end(context.signal);
    await this.forgetConfig(deployment.modelName, context);
  }

  recycle(deployment: Deployment, context: RunnerContext): Promise<boolean> {
    return this.serverOf(deployment).endIfSilent(context.signal);
  }

  override adoptable(signal: AbortSignal): Promise<Adoptable> {
    return this.adoption.find(signal);
  }

  findUnneeded(needed: readonly Needed[], signal: AbortSignal): Promise<readonly Unneeded[]> {
    return this.inventory.findUnneeded(modelsOf(needed), signal);
  }

  async removeUnneeded(
    unneeded: Unneeded,
    needed: () => readonly Needed[],
    manner: RemovalManner,
    signal: AbortSignal,
  ): Promise<boolean> {
    const server = this.inventory.serverNamed(unneeded.serverName);
    const isNeeded = (labels: Readonly<Record<string, string>>): boolean =>
      this.inventory.isNeeded({ ...unneeded, labels }, modelsOf(needed()));
    const { model } = unneeded;
    if (model === undefined) return server.stopRun(unneeded.serverId, isNeeded, manner, signal);
    return this.turns.run(model, signal, async () => {
      const running = await server.find(signal);
      if (running?.info.id !== unneeded.serverId || isNeeded(running.info.labels)) return false;
      await this.unload(server, running, model, [], { signal });
      if (!modelsOf(needed()).includes(model)) await this.repository.removeConfig(model);
      return true;
    });
  }

  async getStatus(deployment: Deployment, signal: AbortSignal): Promise<readonly PlacementObservation[]> {
    const server = this.serverOf(deployment);
    let running: RunningTriton | undefined;
    try {
      running = await server.find(deadline(INSPECT_TIMEOUT_MS, signal));
    } catch (error) {
      return this.statusBehindLauncher(deployment, server.lastSeen, messageOf(error), signal);
    }
    if (!running) {
      const { sentence } = await server.ending();
      return this.observations(deployment, undefined, () => ['absent', sentence]);
    }
    try {
      return this.observations(deployment, running, await this.askPhases(deployment, running, signal));
    } catch (error) {
      return this.observations(deployment, running, () => [unseenAs(error), messageOf(error)]);
    }
  }

  /** Whatever keeps the launcher from answering: Triton's own word is as good, and nobody else's counts. */
  private async statusBehindLauncher(
    deployment: Deployment,
    running: RunningTriton | undefined,
    trouble: string,
    signal: AbortSignal,
  ): Promise<readonly PlacementObservation[]> {
    if (!running) return this.observations(deployment, undefined, () => ['unknown', trouble]);
    try {
      return this.observations(deployment, running, await this.askPhases(deployment, running, signal));
    } catch (error) {
      const isRefused = systemCodeOf(error) === 'ECONNREFUSED';
      const words = `${trouble}; Triton: ${messageOf(error)}`;
      return this.observations(deployment, running, () => [isRefused ? 'unknown' : unseenAs(error), words]);
    }
  }

  /** What Triton says of the model on each GPU. @throws whatever keeps it from saying so */
  private async askPhases(
    deployment: Deployment,
    { client }: RunningTriton,
    signal: AbortSignal,
  ): Promise<PhaseOfGpu> {
    const config = (await client.isModelReady(deployment.modelName, signal))
      ? await client.modelConfig(deployment.modelName, signal)
      : undefined;
    if (config) {
      const count = optionsOf(deployment.options).instances_per_gpu;
      return (gpuId) =>
        serves(config, gpuId, count) ? ['ready'] : ['absent', 'the model has no instances on this GPU'];
    }
    const phase = phaseOf(await client.indexOf(deployment.modelName, signal));
    return () => phase;
  }

  onChange(listener: () => void): () => void {
    return this.launcher.onExit(listener);
  }

  /** Takes the groups of `gpuIds` out; the instances that stay go on serving. */
  private async shrink(
    server: TritonServer,
    deployment: Deployment,
    gpuIds: readonly number[],
    context: RunnerContext,
  ): Promise<void> {
    const running = await server.findLive(context);
    if (!running || !(await this.mayServeOn(gpuIds, running, deployment.modelName, context.signal))) {
      await this.writeConfig(deployment, context.gpus);
      return;
    }
    try {
      await this.load(server, running, deployment, context);
    } catch (error) {
      // A server that died, or that others have stopped meanwhile, has let go of everything.
      if (await server.isStill(running, context.signal)) throw error;
    }
  }

  /**
   * The model has, or may soon have, instances on one of these GPUs. A model whose files have been broken since cannot
   * be reloaded, and need not be where they never came to serve.
   */
  private async mayServeOn(
    gpuIds: readonly number[],
    running: RunningTriton,
    model: string,
    signal: AbortSignal,
  ): Promise<boolean> {
    if (!this.answeredLoads.has(model)) return true;
    const config = await running.client.modelConfig(model, signal);
    return config !== undefined && gpuIds.some((gpuId) => hasGroup(config, gpuId));
  }

  /** Of a model that somebody wants, the configuration is written anew by its next load. */
  private async forgetConfig(model: string, context: RunnerContext): Promise<void> {
    if (context.wanted().some((other) => other.modelName === model)) return;
    await this.repository.removeConfig(model);
  }

  private serverOf(deployment: Deployment): TritonServer {
    return this.servers.of(deployment.modelName);
  }

  private observations(
    deployment: Deployment,
    running: RunningTriton | undefined,
    phase: PhaseOfGpu,
  ): PlacementObservation[] {
    return deployment.gpuIds.map((gpuId) => {
      const [name, reason] = phase(gpuId);
      return {
        gpuId,
        phase: name,
        ...(reason !== undefined && { reason }),
        pid: running?.info.pid ?? null,
        port: running?.ports.http ?? null,
        serverName: running ? this.serverOf(deployment).name : null,
      };
    });
  }

  private async writeConfig(deployment: Deployment, gpus: readonly GpuRef[]): Promise<void> {
    const places = this.visibility.places(deployment.gpuIds, gpus);
    await this.repository.writeConfig(
      deployment.modelName,
      places,
      optionsOf(deployment.options).instances_per_gpu,
    );
  }

  private async load(
    server: TritonServer,
    running: RunningTriton,
    deployment: Deployment,
    context: RunnerContext,
  ): Promise<void> {
    await this.writeConfig(deployment, context.gpus);
    const limit = deadline(this.config.api_timeout_seconds * 1000, context.signal);
    this.answeredLoads.delete(deployment.modelName);
    try {
      await running.client.load(deployment.modelName, limit);
      this.answeredLoads.add(deployment.modelName);
    } catch (error) {
      if (error instanceof ModelLoadError) {
        this.answeredLoads.add(deployment.modelName);
        // "failed to poll from model repository" is all that Triton answers to some faults: its log has the cause.
        const facts = { ...error.facts, log: await server.lastLines() };
        context.signal.throwIfAborted();
        throw new ModelLoadError(error.message, facts, { cause: error });
      }
      context.signal.throwIfAborted();
      if (limit.aborted) {
        throw new BackendTimeoutError(
          `Triton did not load ${deployment.modelName} within ${this.config.api_timeout_seconds} s (runners.triton.api_timeout_seconds).`,
          { log: await server.lastLines() },
          { cause: error },
        );
      }
      if (error instanceof DomainError) throw error;
      throw await server.lost(
        `Triton broke off the load of ${deployment.modelName} (${messageOf(error)})`,
        error,
      );
    }
  }

  /**
   * Unloads the model and gives its requests the rest of their time: an unload finishes what waits and what executes, which
   * no metric shows, and the end of the server would cut it off. Who stops another model meanwhile leaves the server alone.
   */
  private async workOff(server: TritonServer, deployment: Deployment, context: StopContext): Promise<void> {
    const limit = deadline(context.patienceMs, context.signal);
    this.workingOff.set(deployment.modelName, deployment);
    try {
      const running = await server.find(limit);
      if (running) await unloadFully(running.client, deployment.modelName, limit);
    } catch {
      context.signal.throwIfAborted(); // nothing else keeps the stop from going on
    } finally {
      this.workingOff.delete(deployment.modelName);
    }
  }

  private async unload(
    server: TritonServer,
    running: RunningTriton,
    model: string,
    gpuIds: readonly number[],
    context: Pick<RunnerContext, 'signal'>,
  ): Promise<void> {
    const limit = deadline(this.config.api_timeout_seconds * 1000, context.signal);
    try {
      await unloadFully(running.client, model, limit);
    } catch (error) {
      // A server that died, or that others have stopped meanwhile, has let go of everything.
      if (!(await server.isStill(running, context.signal))) return;
      throw new StopFailedError(
        `Triton did not unload ${model}${gpuIds.length > 0 ? ` from GPU ${gpuIds.join(', ')}` : ''} within ${this.config.api_timeout_seconds} s: ${messageOf(error)}`,
        { model, gpuIds, log: await server.lastLines() },
        { cause: error },
      );
    }
  }
}

function phaseOf(rows: readonly IndexRow[]): [PlacementPhase, string?] {
  const states = rows.map((row) => row.state);
  if (states.includes('LOADING')) return ['starting'];
  // READY here, and not when asked for readiness a moment ago: it has just come up, the next probe will see it.
  if (states.includes('READY')) return ['starting'];
  if (states.includes('UNLOADING')) return ['starting', 'the model is being unloaded'];
  return ['absent', rows.find((row) => row.reason)?.reason ?? 'the model is not loaded'];
}

/** Options reach a runner only through its own schema. */
function optionsOf(options: DeploymentOptions): TritonOptions {
  return tritonOptionsSchema.parse(options);
}

function modelsOf(needed: readonly Needed[]): string[] {
  return needed.map(({ modelName }) => modelName);
}
