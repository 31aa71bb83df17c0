import * as z from 'zod';
import { callHttp, UnusableAnswerError } from '../../common/http/http-client.js';
import { bytesOf, livenessIn } from '../../config/sections/common.js';
import type { Launcher } from '../../launchers/launcher.js';
import { PlacementServerRunner } from '../placement-server/placement-server-runner.js';
import type { ProbeResult, ServedPlacement, ServerProgram } from '../placement-server/served-placement.js';
import type { ModelLiveness, ProgressReading } from '../progress.js';
import type { DeploymentOptions, GpuNeeds } from '../deployment.js';
import type { Workload } from '../observation.js';
import { MAIN_PORT } from '../placement-server/server-ports.js';
import { serverUrl } from '../server-url.js';
import type { HttpConfig, HttpModel } from './http-section.js';
import { HTTP_WITHHELD, httpModelOptions } from './http-decided.js';
import { type DrainMetrics, progressIn, workloadIn } from './drain-metrics.js';
import { explainExit, isFinal } from './explain-exit.js';
import { httpPaths, httpProgram } from './http-program.js';

/** What is asked of a server, and how that is told. */
interface Question {
  readonly url: string;
  readonly words: string;
}

/** Serves models from any HTTP server with a health path, by YAML alone. */
export class HttpRunner extends PlacementServerRunner<HttpConfig> {
  readonly backend = 'http';
  override readonly withheld = HTTP_WITHHELD;
  readonly optionsSchema = z.record(z.string(), z.unknown());

  override optionsSchemaOf(modelName: string): z.ZodType<DeploymentOptions> {
    const model = this.find(modelName);
    if (!model) return this.optionsSchema;
    return httpModelOptions(model);
  }

  defaultOptions(modelName: string): DeploymentOptions {
    const options = Object.entries(this.find(modelName)?.options ?? {});
    return Object.fromEntries(options.map(([name, option]) => [name, option.default]));
  }

  override gpuNeeds(modelName: string): GpuNeeds {
    const model = this.find(modelName);
    return { memoryMiB: model?.gpu_memory_mb ?? null, policy: model?.gpu_policy ?? 'shared' };
  }

  override drainSeconds(modelName: string): number {
    return this.find(modelName)?.drain_seconds ?? 0;
  }

  override launcherOf(modelName: string): Launcher['kind'] {
    return this.find(modelName)?.launcher ?? this.config.launcher;
  }

  override deviceOf(modelName: string): 'gpu' | 'cpu' {
    return this.find(modelName)?.device ?? this.config.device;
  }

  override portNamesOf(modelName: string): readonly string[] {
    return this.find(modelName)?.ports ?? [];
  }

  override startTimeoutSecondsOf(modelName: string): number {
    return this.find(modelName)?.start_timeout_seconds ?? this.config.start_timeout_seconds;
  }

  override stopGraceSecondsOf(modelName: string): number {
    return this.find(modelName)?.stop_grace_seconds ?? this.config.stop_grace_seconds;
  }

  program(placement: ServedPlacement): ServerProgram {
    const model = this.modelOf(placement.modelName);
    const { shm_size: shm, memory_limit: memory, mounts } = model;
    const launcher = this.launcherOf(placement.modelName);
    return {
      ...httpProgram(model, launcher, placement),
      hostPaths: httpPaths(model, launcher, placement.modelName),
      ...(model.pull !== undefined && { pull: model.pull }),
      ...(shm !== undefined && { shmSizeBytes: bytesOf(shm) }),
      ...(memory !== undefined && { memoryBytes: bytesOf(memory) }),
      ...(model.stop_signal !== undefined && { stopSignal: model.stop_signal }),
      ...(mounts && {
        mounts: mounts.map((mount) => ({
          hostPath: mount.host_path,
          serverPath: mount.server_path,
          readOnly: mount.read_only,
        })),
      }),
    };
  }

  async probe(placement: ServedPlacement, signal: AbortSignal): Promise<ProbeResult> {
    const model = this.find(placement.modelName);
    const question = model && this.questionOf(placement, model.health_path, model.health_port);
    if (!question) {
      // Its settings have gone, or name a port that it was launched without: that it answers at all is what can be asked.
      await callHttp({ method: 'GET', url: `${placement.baseUrl}/`, signal });
      return { state: 'ready' };
    }
    const { url, words } = question;
    const expected = model.health_json;
    const { status, body } = await callHttp({ method: 'GET', url, signal });
    if (status < 200 || status > 299) return { state: 'starting', reason: `${words} answered ${status}` };
    const difference = expected && differenceOf(body, expected, words);
    return difference === undefined ? { state: 'ready' } : { state: 'starting', reason: difference };
  }

  override cannotDrain(modelName: string): string | undefined {
    if (this.find(modelName)?.drain) return undefined;
    return `Nothing says how many requests are open: give runners.http.models.${modelName} a drain (path, metrics).`;
  }

  override async serverWorkload(placement: ServedPlacement, signal: AbortSignal): Promise<Workload | null> {
    const drain = this.find(placement.modelName)?.drain;
    if (!drain) return null;
    const { body, words } = await this.metricsOf(placement, drain, signal);
    return workloadIn(body, drain, words);
  }

  override livenessOf(modelName: string): ModelLiveness {
    return { ...livenessIn(this.find(modelName)?.liveness), isPatient: true };
  }

  override async serverProgress(
    placement: ServedPlacement,
    signal: AbortSignal,
  ): Promise<ProgressReading | null> {
    const { drain } = this.modelOf(placement.modelName);
    if (!drain?.finished_metrics) return null;
    const { body } = await this.metricsOf(placement, drain, signal);
    return progressIn(body, drain);
  }

  override explainExit(lines: readonly string[]): string | undefined {
    return explainExit(lines);
  }

  override isFinalExit(cause: string): boolean {
    return isFinal(cause);
  }

  /** `undefined` where the server was launched without that port. */
  private questionOf(
    { ports, settings }: ServedPlacement,
    path: string,
    name = MAIN_PORT,
  ): Question | undefined {
    const port = ports.get(name);
    if (port === undefined) return undefined;
    const where = name === MAIN_PORT ? '' : ` on port ${name} (${port})`;
    return { url: `${serverUrl(settings.bind_address, port)}${path}`, words: `GET ${path}${where}` };
  }

  /** @throws UnusableAnswerError, what keeps it from answering */
  private async metricsOf(
    placement: ServedPlacement,
    { path, port = MAIN_PORT }: DrainMetrics,
    signal: AbortSignal,
  ): Promise<{ body: string; words: string }> {
    const question = this.questionOf(placement, path, port);
    if (!question)
      throw new UnusableAnswerError(`the server was launched without the port ${port}: start it anew`);
    const { url, words } = question;
    const { status, body } = await callHttp({ method: 'GET', url, signal });
    if (status !== 200) throw new UnusableAnswerError(`${words} answered ${status}`);
    return { body, words };
  }

  private find(modelName: string): HttpModel | undefined {
    const { models } = this.config;
    return Object.hasOwn(models, modelName) ? models[modelName] : undefined;
  }

  /** A server of a model that the configuration no longer has is only looked at and stopped. */
  private modelOf(modelName: string): HttpModel {
    const model = this.find(modelName);
    if (!model) throw new UnusableAnswerError(`${modelName} is no longer in runners.http.models`);
    return model;
  }
}

/** What of the expected keys the JSON does not say. @throws UnusableAnswerError when it is none */
function differenceOf(
  body: string,
  expected: NonNullable<HttpModel['health_json']>,
  question: string,
): string | undefined {
  const parsed = z.record(z.string(), z.unknown()).safeParse(parseJson(body, question));
  const found = parsed.success ? parsed.data : {};
  const key = Object.keys(expected).find(
    (each) => !Object.hasOwn(found, each) || found[each] !== expected[each],
  );
  return key === undefined ? undefined : `${question} does not say ${key}: ${JSON.stringify(expected[key])}`;
}

function parseJson(body: string, question: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new UnusableAnswerError(`${question} answered no JSON`);
  }
}
