import { z } from 'zod';
import { callHttp, UnusableAnswerError } from '../../common/http/http-client.js';
import { bytesOf, livenessIn } from '../../config/sections/common.js';
import type { Launcher } from '../../launchers/launcher.js';
import { mountedPaths } from '../placement-server/placement-server-section.js';
import { PlacementServerRunner } from '../placement-server/placement-server-runner.js';
import type { ProbeResult, ServedPlacement, ServerProgram } from '../placement-server/served-placement.js';
import { metricSum } from '../prometheus-text.js';
import type { ModelLiveness, ProgressReading } from '../progress.js';
import type { DeploymentOptions, GpuNeeds, Workload } from '../runner.js';
import type { HttpConfig, HttpModel } from './http-section.js';
import { HTTP_WITHHELD, httpModelOptions } from './http-decided.js';
import { explainExit, isFinal } from './explain-exit.js';
import { httpProgram } from './http-program.js';

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

  override startTimeoutSecondsOf(modelName: string): number {
    return this.find(modelName)?.start_timeout_seconds ?? this.config.start_timeout_seconds;
  }

  override stopGraceSecondsOf(modelName: string): number {
    return this.find(modelName)?.stop_grace_seconds ?? this.config.stop_grace_seconds;
  }

  program(placement: ServedPlacement): ServerProgram {
    const model = this.modelOf(placement.modelName);
    const { shm_size: shm, memory_limit: memory, mounts } = model;
    return {
      ...httpProgram(model, this.launcherOf(placement.modelName), placement),
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
        hostPaths: mountedPaths(mounts, `runners.http.models.${placement.modelName}.mounts`),
      }),
    };
  }

  async probe({ modelName, baseUrl }: ServedPlacement, signal: AbortSignal): Promise<ProbeResult> {
    const model = this.find(modelName);
    if (!model) {
      // Its health path has gone with its settings: that it answers at all is what can be asked.
      await callHttp({ method: 'GET', url: `${baseUrl}/`, signal });
      return { state: 'ready' };
    }
    const { health_path: path, health_json: expected } = model;
    const { status, body } = await callHttp({ method: 'GET', url: `${baseUrl}${path}`, signal });
    if (status < 200 || status > 299) return { state: 'starting', reason: `GET ${path} answered ${status}` };
    const difference = expected && differenceOf(body, expected, path);
    return difference === undefined ? { state: 'ready' } : { state: 'starting', reason: difference };
  }

  override cannotDrain(modelName: string): string | undefined {
    if (this.find(modelName)?.drain) return undefined;
    return `Nothing says how many requests are open: give runners.http.models.${modelName} a drain (path, metrics).`;
  }

  override async serverWorkload(
    { modelName, baseUrl }: ServedPlacement,
    signal: AbortSignal,
  ): Promise<Workload | null> {
    const drain = this.find(modelName)?.drain;
    if (!drain) return null;
    const body = await metricsText(`${baseUrl}${drain.path}`, signal);
    const open = metricSum(body, drain.metrics);
    if (open === undefined)
      throw new UnusableAnswerError(`GET ${drain.path} has none of ${drain.metrics.join(', ')}`);
    return { open, finished: metricSum(body, drain.finished_metrics ?? []) ?? 0 };
  }

  override livenessOf(modelName: string): ModelLiveness {
    return { ...livenessIn(this.find(modelName)?.liveness), isPatient: true };
  }

  override async serverProgress(
    { modelName, baseUrl }: ServedPlacement,
    signal: AbortSignal,
  ): Promise<ProgressReading | null> {
    const { drain } = this.modelOf(modelName);
    if (!drain?.finished_metrics) return null;
    const body = await metricsText(`${baseUrl}${drain.path}`, signal);
    const [open, done] = [metricSum(body, drain.metrics), metricSum(body, drain.finished_metrics)];
    return open === undefined || done === undefined ? null : { open, done, succeeded: done, failed: 0 };
  }

  override explainExit(lines: readonly string[]): string | undefined {
    return explainExit(lines);
  }

  override isFinalExit(cause: string): boolean {
    return isFinal(cause);
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

async function metricsText(url: string, signal: AbortSignal): Promise<string> {
  const { status, body } = await callHttp({ method: 'GET', url, signal });
  if (status !== 200) throw new UnusableAnswerError(`GET ${new URL(url).pathname} answered ${status}`);
  return body;
}

/** What of the expected keys the JSON does not say. @throws UnusableAnswerError when it is none */
function differenceOf(
  body: string,
  expected: NonNullable<HttpModel['health_json']>,
  path: string,
): string | undefined {
  const parsed = z.record(z.string(), z.unknown()).safeParse(parseJson(body, path));
  const found = parsed.success ? parsed.data : {};
  const key = Object.keys(expected).find(
    (each) => !Object.hasOwn(found, each) || found[each] !== expected[each],
  );
  return key === undefined ? undefined : `GET ${path} does not say ${key}: ${JSON.stringify(expected[key])}`;
}

function parseJson(body: string, path: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new UnusableAnswerError(`GET ${path} answered no JSON`);
  }
}
