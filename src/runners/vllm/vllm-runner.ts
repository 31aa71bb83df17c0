import type { DomainError } from '../../common/errors.js';
import { UnusableAnswerError } from '../../common/http/http-client.js';
import { livenessIn } from '../../config/sections/common.js';
import { PlacementServerRunner } from '../placement-server/placement-server-runner.js';
import type { ProbeResult, ServedPlacement, ServerProgram } from '../placement-server/served-placement.js';
import { GpuNotUsableError } from '../errors.js';
import type { Deployment, DeploymentOptions, GpuNeeds, GpuRef } from '../deployment.js';
import { refusedOn } from '../unusable-gpus.js';
import type { LaunchSettings } from '../launched-as.js';
import type { Workload } from '../observation.js';
import type { PreflightContext, RunnerContext } from '../runner-context.js';
import type { Canary, ModelLiveness, ProgressReading } from '../progress.js';
import { type SleepContext, type SleepLevel, SleepUnavailableError } from '../sleep.js';
import type { VllmConfig, VllmModel } from './vllm-section.js';
import { explainExit, isFinal, LINES_TO_EXPLAIN } from './explain-exit.js';
import { OPTIONAL_FLAGS, OptionalFlags } from './optional-flags.js';
import { VLLM_DECIDED_VARIABLES } from './vllm-flags.js';
import { vllmCanary, vllmProgress, vllmReadiness, vllmWorkload } from './vllm-client.js';
import { modelPaths } from './model-paths.js';
import { defaultVllmOptions, type VllmOptions, vllmOptions } from './vllm-options.js';
import { servedName, vllmProgram } from './vllm-program.js';
import { fallAsleep, isSleeping, sleepingSoonAfter, type VllmServer, wakeUp } from './vllm-sleep.js';

/** Time, seconds, of a server that sleeps to end its processes by itself. */
const ASLEEP_GRACE_SECONDS = 2;

/** Serves language models with vLLM: one server per placement, on one GPU or, with `gpu_ids`, on several. */
export class VllmRunner extends PlacementServerRunner<VllmConfig, VllmOptions> {
  readonly backend = 'vllm';
  override readonly withheld = Object.keys(VLLM_DECIDED_VARIABLES);
  readonly optionsSchema = vllmOptions;
  override readonly linesToExplain = LINES_TO_EXPLAIN;
  /** Servers whose wake may have been broken off, by address. */
  private readonly halfAwake = new Set<string>();
  private readonly optionalFlags = new OptionalFlags();
  override readonly sleepTimeoutMs = this.config.sleep_timeout_seconds * 1000;

  defaultOptions(modelName: string): VllmOptions {
    return defaultVllmOptions(this.find(modelName));
  }

  override gpusOf(gpuId: number, { gpu_ids: gpuIds }: Partial<VllmOptions>): readonly number[] {
    return [gpuId, ...(gpuIds ?? []).filter((id) => id !== gpuId)];
  }

  override optionsOn(options: DeploymentOptions, gpuIds: readonly number[]): DeploymentOptions {
    const { gpu_ids: named }: Partial<VllmOptions> = options;
    return named ? { ...options, gpu_ids: gpuIds.toSorted((a, b) => a - b) } : options;
  }

  override gpuNeeds(modelName: string): GpuNeeds {
    const model = this.find(modelName);
    return { memoryMiB: model?.gpu_memory_mb ?? null, policy: model?.gpu_policy ?? 'shared' };
  }

  override drainSeconds(modelName: string): number {
    return this.find(modelName)?.drain_seconds ?? 0;
  }

  /** The free memory of its GPUs, of which it takes a share of the total. Source: vLLM, `gpu_memory_utilization`. */
  override measuresFreeMemory(modelName: string): boolean {
    return this.deviceOf(modelName) === 'gpu';
  }

  override unusableGpus(
    modelName: string,
    options: DeploymentOptions,
    gpus: readonly GpuRef[],
  ): Promise<ReadonlyMap<number, DomainError>> {
    return Promise.resolve(
      refusedOn(gpus, (id) => {
        checkGpus({ modelName, gpuIds: [id], options });
      }),
    );
  }

  override async preflight(deployment: Deployment, context: PreflightContext): Promise<void> {
    checkGpus(deployment);
    await super.preflight(deployment, context);
  }

  /** An installation without the optional flags is launched once more, without them; that counts as no further try. */
  override async start(deployment: Deployment, context: RunnerContext): Promise<void> {
    for (let left: number = OPTIONAL_FLAGS.length; ; left -= 1) {
      try {
        await super.start(deployment, context);
        return;
      } catch (error) {
        if (left === 0 || !this.optionalFlags.learnFrom(error)) throw error;
      }
    }
  }

  override settingsOf(modelName: string): LaunchSettings {
    const model = this.find(modelName);
    if (!model) return {};
    return { served_model_name: servedName(modelName, model), sleep_mode: String(model.sleep_mode) };
  }

  program(placement: ServedPlacement<VllmOptions>): ServerProgram {
    const { modelName } = placement;
    const launcher = this.launcherOf(modelName);
    const model = this.modelOf(modelName);
    const optional = this.optionalFlags.argsFor(this.stopGraceSecondsOf(modelName));
    return {
      ...vllmProgram(this.config, launcher, model, placement, optional),
      configuredCommand: vllmProgram(this.config, launcher, model, placement).command,
      hostPaths: modelPaths(this.config, launcher, model, modelName),
    };
  }

  async probe(
    { baseUrl, settings }: ServedPlacement<VllmOptions>,
    signal: AbortSignal,
  ): Promise<ProbeResult> {
    const readiness = vllmReadiness(baseUrl, settings.served_model_name, signal);
    const sleeping = maySleep(settings) ? await sleepingSoonAfter(readiness, baseUrl, signal) : undefined;
    const result = await readiness;
    return result.state === 'ready' ? { ...result, sleeping } : result;
  }

  override async sleepServer(
    placement: ServedPlacement<VllmOptions>,
    level: SleepLevel,
    context: SleepContext,
  ): Promise<void> {
    const { modelName } = placement;
    if (!maySleep(placement.settings) && !this.find(modelName)?.sleep_mode) {
      throw new SleepUnavailableError(
        `${modelName} cannot sleep: set sleep_mode (runners.vllm.models.${modelName}), stop the model and start it again.`,
      );
    }
    // What is half awake says that it sleeps, and holds memory: it falls asleep anew.
    if (this.halfAwake.has(placement.baseUrl)) await this.wakeServer(placement, context);
    await fallAsleep(this.sleeper(placement), level, context);
  }

  override async wakeServer(placement: ServedPlacement<VllmOptions>, context: SleepContext): Promise<void> {
    this.halfAwake.add(placement.baseUrl);
    await wakeUp(this.sleeper(placement), context);
    this.halfAwake.delete(placement.baseUrl);
  }

  /** Asleep, it finishes no request, and would wait for them in vain. */
  override async graceSecondsNow(
    { baseUrl, settings }: ServedPlacement<VllmOptions>,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    if (!maySleep(settings)) return undefined;
    return (await isSleeping(baseUrl, signal)) ? ASLEEP_GRACE_SECONDS : undefined;
  }

  override serverWorkload(
    placement: ServedPlacement<VllmOptions>,
    signal: AbortSignal,
  ): Promise<Workload | null> {
    return vllmWorkload(placement.baseUrl, servedModelOf(placement), signal);
  }

  override livenessOf(modelName: string): ModelLiveness {
    return livenessIn(this.find(modelName)?.liveness);
  }

  override serverProgress(
    placement: ServedPlacement<VllmOptions>,
    signal: AbortSignal,
  ): Promise<ProgressReading | null> {
    return vllmProgress(placement.baseUrl, servedModelOf(placement), signal);
  }

  override canaryOf(deployment: Deployment): Canary | undefined {
    const placement = this.config.canary ? this.lastSeen(deployment) : undefined;
    if (!placement) return undefined;
    return (signal) => vllmCanary(placement.baseUrl, servedModelOf(placement), signal);
  }

  override explainExit(lastLines: readonly string[]): string | undefined {
    return explainExit(lastLines);
  }

  override isFinalExit(cause: string): boolean {
    return isFinal(cause);
  }

  private sleeper(placement: ServedPlacement<VllmOptions>): VllmServer {
    const { modelName, baseUrl } = placement;
    return { modelName, baseUrl, servedModel: servedModelOf(placement) };
  }

  private find(modelName: string): VllmModel | undefined {
    const { models } = this.config;
    return Object.hasOwn(models, modelName) ? models[modelName] : undefined;
  }

  /** A server of a model that the configuration no longer has is only looked at and stopped. */
  private modelOf(modelName: string): VllmModel {
    const model = this.find(modelName);
    if (!model) throw new UnusableAnswerError(`${modelName} is no longer in runners.vllm.models`);
    return model;
  }
}

/** Its name in the API of its server, which keeps to what it was launched with. */
function servedModelOf({ modelName, settings }: ServedPlacement<VllmOptions>): string {
  return settings.served_model_name ?? modelName;
}

/** What was launched without sleep mode never sleeps; where nobody knows, the server tells. */
function maySleep({ sleep_mode: sleepMode }: LaunchSettings): boolean {
  return sleepMode !== 'false';
}

/** @throws GpuNotUsableError */
function checkGpus({ modelName, gpuIds: numbers, gpus, options }: Deployment): void {
  const { gpu_ids: gpuIds } = options as Partial<VllmOptions>;
  if (!gpuIds) return;
  const indices = numbers.map((number) => gpus?.get(number)?.[0]?.id ?? number);
  const outside = indices.find((id) => !gpuIds.includes(id));
  if (outside !== undefined) {
    throw new GpuNotUsableError(
      `config.gpu_ids of ${modelName} are ${gpuIds.join(', ')}, without GPU ${outside}: a server over several GPUs is started on one of them.`,
    );
  }
}
