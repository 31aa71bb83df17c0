import type * as z from 'zod';
import type { DomainError } from '../../common/errors.js';
import { livenessIn } from '../../config/sections/common.js';
import { NameLocks } from '../../launchers/name-locks.js';
import type { RunnerHost } from '../runner-host.js';
import type { Adoptable, Deployment, DeploymentOptions, GpuNeeds, GpuRef } from '../deployment.js';
import type { PlacementObservation, Workload } from '../observation.js';
import { Runner } from '../runner.js';
import type { PreflightContext, RunnerContext, StopContext, WaitContext } from '../runner-context.js';
import type { GpuSight } from '../../launchers/launcher.js';
import type { EndedPart, ModelLiveness, ProgressReading, Trouble } from '../progress.js';
import type { Needed, RemovalManner, Unneeded } from '../unneeded.js';
import { Ensembles } from './ensembles.js';
import { GpuVisibility } from './gpu-visibility.js';
import { stopGraceSeconds, TRITON } from './launch-spec.js';
import { whyUncounted } from './triton-metrics.js';
import { ModelPlaces } from './model-places.js';
import { ModelRepository } from './model-repository.js';
import { TritonAdoption } from './triton-adoption.js';
import { TritonInventory } from './triton-inventory.js';
import { TritonLoader } from './triton-loader.js';
import { autoOptionsSchema, modelGpuConfig, optionsOf, tritonOptionsSchema } from './triton-options.js';
import type { TritonConfig } from './triton-section.js';
import { TritonPreflight } from './triton-preflight.js';
import { TritonServers } from './triton-servers.js';
import { TritonStops } from './triton-stops.js';
import { TritonStatus } from './triton-status.js';

/** Serves models from Triton: one shared server, and a dedicated one for each model that wants it. */
export class TritonRunner extends Runner {
  readonly backend = TRITON;
  readonly models: readonly string[];
  readonly optionsSchema = tritonOptionsSchema;
  readonly startTimeoutMs: number;
  readonly stopTimeoutMs: number;
  private readonly visibility: GpuVisibility;
  private readonly servers: TritonServers;
  private readonly ensembles: Ensembles;
  private readonly inventory: TritonInventory;
  private readonly adoption: TritonAdoption;
  private readonly places: ModelPlaces;
  private readonly checks: TritonPreflight;
  private readonly loader: TritonLoader;
  private readonly stops: TritonStops;
  private readonly status: TritonStatus;
  /** Loads, and unloads of what nobody needs, one after another per model. */
  private readonly turns = new NameLocks();
  constructor(
    private readonly config: TritonConfig,
    private readonly host: RunnerHost,
  ) {
    super();
    this.models = config.supported_models;
    const repository = new ModelRepository(config.model_repository_host_path);
    this.visibility = new GpuVisibility(config.gpus);
    this.servers = new TritonServers(config, host, repository);
    this.inventory = new TritonInventory(this.servers, this.models);
    this.ensembles = new Ensembles(this.servers, this.models);
    this.adoption = new TritonAdoption(this.servers, this.models);
    this.places = new ModelPlaces(config, this.visibility, this.ensembles);
    this.checks = new TritonPreflight(this.servers, repository, this.visibility, this.places, this.ensembles);
    this.loader = new TritonLoader(repository, this.places, config.api_timeout_seconds);
    this.stops = new TritonStops(this.servers, this.loader, this.inventory);
    this.status = new TritonStatus(this.servers, this.visibility, this.places, this.ensembles);
    const pull = config.launcher === 'docker' && config.pull === 'if-missing' ? host.pullTimeoutSeconds : 0;
    this.startTimeoutMs = (pull + config.server_start_timeout_seconds + config.api_timeout_seconds) * 1000;
    this.stopTimeoutMs = (config.api_timeout_seconds + stopGraceSeconds(config)) * 1000;
  }

  override optionsSchemaOf(modelName: string): z.ZodType<DeploymentOptions> {
    return this.places.kindOf(modelName) === 'auto' ? autoOptionsSchema : this.optionsSchema;
  }

  defaultOptions(modelName: string): DeploymentOptions {
    return { instances_per_gpu: modelGpuConfig(this.config, modelName).instances_per_gpu };
  }

  instancesPerGpu(options: DeploymentOptions, modelName: string): number {
    return this.ensembles.has(modelName) ? 1 : optionsOf(options).instances_per_gpu;
  }

  override expectedPort(modelName: string): number | null {
    const { lastSeen } = this.servers.of(modelName);
    if (lastSeen) return lastSeen.ports.http;
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

  override cannotDrain(): string | undefined {
    return whyUncounted([...this.config.command, ...this.config.extra_args]);
  }

  override cannotFollow(): string | undefined {
    return this.cannotDrain();
  }

  /** Where the model serves on elsewhere, its other instances take what waits, and those at work finish. */
  override async workload(
    deployment: Deployment,
    _gpuIds: readonly number[],
    signal: AbortSignal,
  ): Promise<Workload | null> {
    if (deployment.gpuIds.length > 0) return null;
    const server = await this.servers.locate(deployment.modelName, signal);
    const running = await server.find(signal);
    return running ? running.metrics.workload(deployment.modelName, signal) : null;
  }

  override livenessOf(modelName: string): ModelLiveness {
    return livenessIn(modelGpuConfig(this.config, modelName).liveness);
  }

  override async progress({ modelName }: Deployment, signal: AbortSignal): Promise<ProgressReading | null> {
    const server = this.servers.of(modelName);
    const { lastSeen: running } = server;
    const counted = (await running?.metrics.progress(modelName, signal)) ?? null;
    if (!counted || !running) return null;
    const { id: run } = running.info;
    return { ...counted, run, note: server.memoryNote(run) };
  }

  override gpuSight({ modelName }: Deployment, maxAgeMs: number, signal: AbortSignal): Promise<GpuSight> {
    return this.status.gpuSight(modelName, maxAgeMs, signal);
  }

  /** The model, unless Triton does not come to the end of what executes. Models that share the server may be ended at once. */
  override async endStuck(
    deployment: Deployment,
    { kind, run }: Trouble,
    context: RunnerContext,
  ): Promise<EndedPart> {
    const { modelName } = deployment;
    const { signal } = context;
    const server = this.servers.of(modelName);
    return this.turns.run(modelName, signal, async () => {
      const running = await server.find(signal);
      if (!running || (run !== undefined && run !== running.info.id)) return 'nothing';
      const { id } = running.info;
      const serverGoesOn =
        kind !== 'blind' && (await this.loader.unstick(server, running, deployment, kind, context));
      if (serverGoesOn) return 'model';
      return (await server.endRun(id, signal)) ? 'server' : 'nothing';
    });
  }

  override gpuNeeds(modelName: string): GpuNeeds {
    const { gpu_memory_mb: memoryMiB, gpu_policy: policy, kind } = modelGpuConfig(this.config, modelName);
    if (kind === 'cpu' || this.ensembles.has(modelName))
      return { memoryMiB: 0, policy: 'shared', offGpu: true };
    return { memoryMiB, policy };
  }

  override unusableGpus(
    modelName: string,
    options: DeploymentOptions,
    gpus: readonly GpuRef[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<number, DomainError>> {
    return this.checks.unusable({ modelName, options }, gpus, signal);
  }

  preflight(deployment: Deployment, context: PreflightContext): Promise<void> {
    return this.checks.check(deployment, context);
  }

  /** Triton would load the steps of an ensemble with it, whether or not anybody wants them. */
  override async untilStartable(
    { modelName }: Deployment,
    { signal, wanted, tell }: WaitContext,
  ): Promise<void> {
    await this.ensembles.untilStepsServe(modelName, wanted, tell, signal);
  }

  async start(deployment: Deployment, context: RunnerContext): Promise<void> {
    const { modelName } = deployment;
    const server = await this.servers.locateForStart(modelName, context.signal);
    const live = () => server.ensureLive(this.visibility.of(context.gpus), context);
    await this.turns.run(modelName, context.signal, async () => {
      const running = await this.loader.afterUnload(server, modelName, live, context);
      if (this.ensembles.has(modelName))
        await this.ensembles.check(modelName, context.wanted, context.signal);
      await this.loader.load(server, running, deployment, context);
    });
  }

  stop(deployment: Deployment, gpuIds: readonly number[], context: StopContext): Promise<void> {
    return this.stops.stop(deployment, gpuIds, context);
  }

  stopByForce(deployment: Deployment, _gpuIds: readonly number[], context: RunnerContext): Promise<void> {
    return this.stops.byForce(deployment, context);
  }

  async recycle(deployment: Deployment, context: RunnerContext): Promise<boolean> {
    return (await this.servers.locate(deployment.modelName, context.signal)).endIfSilent(context.signal);
  }

  /** A server of one model ends with it. */
  override heldLimitMiB(modelName: string): number | null {
    return modelGpuConfig(this.config, modelName).use_dedicated_server ? null : this.config.recycle_held_mb;
  }

  override renew(deployment: Deployment, isQuiet: () => boolean, context: RunnerContext): Promise<boolean> {
    return this.servers.of(deployment.modelName).stopUnless(() => !isQuiet(), context.signal);
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
    const launcher = this.host.launchers.get(unneeded.launcher);
    const server = this.inventory.serverAt(unneeded.serverName, launcher);
    const isNeeded = (labels: Readonly<Record<string, string>>): boolean =>
      this.inventory.isNeeded({ ...unneeded, launcher, labels }, modelsOf(needed()));
    const { model } = unneeded;
    if (model === undefined) return server.stopRun(unneeded.serverId, isNeeded, manner, signal);
    return this.turns.run(model, signal, async () => {
      const running = await server.find(signal);
      if (running?.info.id !== unneeded.serverId || isNeeded(running.info.labels)) return false;
      await this.loader.unload(server, running, model, [], { signal });
      if (!modelsOf(needed()).includes(model)) await running.repository.removeConfig(model);
      return true;
    });
  }

  getStatus(
    deployment: Deployment,
    signal: AbortSignal,
    gpus: readonly GpuRef[] = [],
  ): Promise<readonly PlacementObservation[]> {
    return this.status.of(deployment, gpus, signal);
  }

  onChange(listener: () => void): () => void {
    if (this.models.length > 0) this.servers.formers.begin();
    return this.servers.formers.onExit(this.servers.launchers(), listener);
  }
}

function modelsOf(needed: readonly Needed[]): string[] {
  return needed.map(({ modelName }) => modelName);
}
