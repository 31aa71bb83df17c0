import type * as z from 'zod';
import { pathFault } from '../../launchers/host-paths.js';
import { orAborted, pollUntil, within } from '../../common/deadline.js';
import type { InstalledFlags } from '../argparse-help.js';
import { examineAll, strictly } from '../../common/examiner.js';
import { livenessIn } from '../../config/sections/common.js';
import { PlacementServerRunner } from '../placement-server/placement-server-runner.js';
import type {
  BeforeStop,
  ProbeResult,
  ServedPlacement,
  ServerProgram,
} from '../placement-server/served-placement.js';
import type { Deployment, GpuNeeds, GpuRef } from '../deployment.js';
import type { Workload } from '../observation.js';
import type { PreflightContext, RunnerContext } from '../runner-context.js';
import type { ModelLiveness, ProgressReading } from '../progress.js';
import type { RunnerHost } from '../runner-host.js';
import type { ComfyuiConfig } from './comfyui-section.js';
import { ComfyuiClient } from './comfyui-client.js';
import { COMFYUI_DECIDED_VARIABLES, flagFaults } from './comfyui-flags.js';
import {
  comfyuiCpuOptionsSchema,
  type ComfyuiOptions,
  comfyuiOptionsSchema,
  optionOf,
} from './comfyui-options.js';
import {
  chosenFlags,
  comfyuiProgram,
  flagQuestion,
  isConfigured,
  neededFiles,
  assertConfigured,
} from './comfyui-program.js';
import { deviceFault } from './device-check.js';
import { ComfyuiFileMissingError, ComfyuiFlagRefusedError } from './errors.js';
import { ComfyuiInstallation } from './installation.js';
import { isFinal, lastWords, LINES_TO_EXPLAIN } from './last-words.js';

const IDLE_POLL_MS = 200;
/** Of each request before the end; a busy ComfyUI may be too busy to answer. */
const LAST_REQUEST_MS = 1000;

/** ComfyUI, one server per placement, on the GPU of the placement alone. */
export class ComfyuiRunner extends PlacementServerRunner<ComfyuiConfig, ComfyuiOptions> {
  readonly backend = 'comfyui';
  override readonly withheld = Object.keys(COMFYUI_DECIDED_VARIABLES);
  readonly optionsSchema: z.ZodType<ComfyuiOptions>;
  /** Python takes SIGTERM without a word; SIGINT ends ComfyUI in order. */
  override readonly stopSignal = 'SIGINT';
  override readonly linesToExplain = LINES_TO_EXPLAIN;
  /** What is known of the GPUs beyond what a server's labels hold. */
  private gpus: readonly GpuRef[] = [];
  private readonly installation = new ComfyuiInstallation(
    () => this.host.launchers.get(this.config.launcher),
    () => flagQuestion(this.config),
  );

  constructor(config: ComfyuiConfig, host: RunnerHost) {
    super(config, host);
    this.optionsSchema = config.device === 'cpu' ? comfyuiCpuOptionsSchema : comfyuiOptionsSchema;
  }

  override canStart(): boolean {
    return isConfigured(this.config);
  }

  defaultOptions(): ComfyuiOptions {
    return {};
  }

  override drainSeconds(modelName: string): number {
    return this.config.model_configs[modelName]?.drain_seconds ?? 0;
  }

  override gpuNeeds(modelName: string): GpuNeeds {
    const own = this.config.model_configs[modelName];
    const memoryMiB = this.config.device === 'cpu' ? null : (own?.gpu_memory_mb ?? null);
    return { memoryMiB, policy: own?.gpu_policy ?? 'shared' };
  }

  /** @throws ComfyuiNotConfiguredError, ComfyuiFileMissingError, ComfyuiFlagRefusedError, and what the base's throws */
  override async preflight(deployment: Deployment, context: PreflightContext): Promise<void> {
    const { signal, examine = strictly } = context;
    assertConfigured(this.config);
    await examineAll(examine, 'paths', () => this.missingFiles(deployment.modelName, signal));
    // Asked of ComfyUI itself, which runs for it: for a start, not for a look at the host.
    if (!context.examine) await this.assertFlags(deployment, signal);
    await super.preflight(deployment, context);
  }

  override async start(deployment: Deployment, context: RunnerContext): Promise<void> {
    this.gpus = context.gpus;
    await super.start(deployment, context);
  }

  program(placement: ServedPlacement<ComfyuiOptions>): ServerProgram {
    return comfyuiProgram(this.config, placement);
  }

  async probe(
    { modelName, baseUrl, gpuId, gpus: [own], settings }: ServedPlacement<ComfyuiOptions>,
    signal: AbortSignal,
  ): Promise<ProbeResult> {
    const device = await new ComfyuiClient(baseUrl).device(signal);
    // By which settings a model was launched that the configuration no longer has, nobody knows.
    if (!this.models.includes(modelName)) return { state: 'ready' };
    const gpu = this.gpus.find(({ id }) => id === gpuId) ?? own ?? { id: gpuId, uuid: null };
    const error = deviceFault(device, settings.device, gpu);
    return error ? { state: 'failed', error } : { state: 'ready' };
  }

  override async serverWorkload(
    { baseUrl }: ServedPlacement<ComfyuiOptions>,
    signal: AbortSignal,
  ): Promise<Workload> {
    return { open: await new ComfyuiClient(baseUrl).queueRemaining(signal), finished: 0 };
  }

  /** A prompt may take any time, and shows nothing until it is done. */
  override livenessOf(modelName: string): ModelLiveness {
    return { ...livenessIn(this.config.model_configs[modelName]?.liveness), isPatient: true };
  }

  /** A prompt that fails, fails by its workflow as far as anybody can tell. */
  override async serverProgress(
    { baseUrl }: ServedPlacement<ComfyuiOptions>,
    signal: AbortSignal,
  ): Promise<ProgressReading> {
    const client = new ComfyuiClient(baseUrl);
    const open = await client.queueRemaining(signal);
    return { open, done: await client.lastDone(signal), succeeded: 0, failed: 0 };
  }

  /** What is left of the drain is for prompts that came since; whatever is there then is given up. */
  override async beforeStop(
    { baseUrl }: ServedPlacement<ComfyuiOptions>,
    { patienceMs, signal }: BeforeStop,
  ): Promise<void> {
    const client = new ComfyuiClient(baseUrl);
    if (patienceMs > 0) {
      await attempt(patienceMs, signal, (limit) =>
        pollUntil(async () => ((await client.queueRemaining(limit)) === 0 ? true : undefined), {
          intervalMs: IDLE_POLL_MS,
          signal: limit,
        }),
      );
    }
    await attempt(LAST_REQUEST_MS, signal, (limit) => client.free(limit));
    await attempt(LAST_REQUEST_MS, signal, (limit) => client.clearQueue(limit));
    await attempt(LAST_REQUEST_MS, signal, (limit) => client.interrupt(limit));
  }

  override explainExit(lines: readonly string[]): string | undefined {
    return lastWords(lines);
  }

  override isFinalExit(cause: string): boolean {
    return isFinal(cause);
  }

  /** Holds the flags of a start against those of the installation; with none to hold, it is not asked. */
  private async assertFlags({ modelName, options }: Deployment, signal: AbortSignal): Promise<void> {
    const { ofFile, ofOptions } = chosenFlags(this.config, modelName, options);
    const all = [...ofFile, ...ofOptions];
    if (all.length === 0) return;
    const suits = (flags: InstalledFlags): boolean => flagFaults(all, flags).length === 0;
    const answer = await this.installation.flags(suits, signal);
    const taken = 'flags' in answer ? answer.flags : 'listed';
    const why =
      'flags' in answer ? '' : `; ComfyUI was asked for its flags, and has not said: ${answer.unknown}`;
    const [ofFileFault] = flagFaults(ofFile, taken);
    if (ofFileFault) {
      const place = `runners.comfyui.model_configs.${modelName}.args`;
      throw new ComfyuiFlagRefusedError(`${ofFileFault.message}${why}: correct ${place}.`, 'internal');
    }
    const [ofOptionFault] = flagFaults(ofOptions, taken);
    if (ofOptionFault) {
      const option = optionOf(ofOptions[ofOptionFault.index] ?? '');
      throw new ComfyuiFlagRefusedError(`config.${option}: ${ofOptionFault.message}${why}.`, 'invalid');
    }
  }

  private async missingFiles(modelName: string, signal: AbortSignal): Promise<readonly Error[]> {
    const launcher = this.host.launchers.get(this.config.launcher);
    const looks = launcher.missingPaths(neededFiles(this.config, modelName), signal);
    const missing = (await orAborted(looks, signal)).map(async (hostPath) => {
      const { path, setting } = hostPath;
      const fault = (await pathFault(hostPath)) ?? 'is not there, or not to be read';
      return new ComfyuiFileMissingError(`${path} ${fault}: create it, or correct ${setting}.`, {
        path,
        setting,
      });
    });
    return Promise.all(missing);
  }
}

/** That it fails or is late keeps nothing that comes after it. @throws the signal's reason once that aborts */
async function attempt(
  limitMs: number,
  signal: AbortSignal,
  work: (limit: AbortSignal) => Promise<unknown>,
): Promise<void> {
  try {
    await within({ ms: limitMs, signal }, work);
  } catch {
    signal.throwIfAborted();
  }
}
