import { Injectable } from '@nestjs/common';
import { isDeepStrictEqual } from 'node:util';
import type { DomainError } from '../../common/errors.js';
import { canonicalJson } from '../../common/canonical-json.js';
import { within } from '../../common/deadline.js';
import { type GpuIdentity, GpusService } from '../../gpus/gpus.service.js';
import { GpuCordons } from '../../gpus/health/gpu-cordons.js';
import type { DeploymentOptions, GpuRef } from '../../runners/deployment.js';
import type { Runner } from '../../runners/runner.js';
import { Catalog } from '../deployment/catalog.js';
import type { Assessment } from '../room/assessment.js';
import type { MemoryNeed } from '../../runners/memory-need.js';
import type { DeploymentState } from '../deployment/deployment-state.js';
import type { HeldGpu } from '../deployment/held-gpus.js';
import { DeploymentStates } from '../deployment/deployment-states.js';
import {
  GpuNotFoundError,
  InvalidOptionsError,
  OptionsConflictError,
  PlacementOverlapError,
  PreflightTimeoutError,
} from '../deployment/errors.js';

/** Deadline of the checks of a start, ms: an Engine that hangs must not hold the caller. */
const PREFLIGHT_TIMEOUT_MS = 5000;

/** Time, ms, of a backend to say which GPUs it can use: what it says is for information. */
const UNUSABLE_TIMEOUT_MS = 1000;

/** A start, as it was asked for. */
interface StartWish {
  readonly runner: Runner;
  readonly modelName: string;
  readonly gpuId: number;
  /** The options with nothing else running. */
  readonly options: DeploymentOptions;
  /** As the request has them. */
  readonly given: Record<string, unknown>;
}

/** A start that by itself makes sense on the GPUs of this host. */
export interface StartAsked extends StartWish {
  readonly gpus: readonly GpuIdentity[];
}

/** The checks of a start that change nothing: the same for a start and for the question what it would come to. */
@Injectable()
export class StartChecks {
  private readonly underWay = new Map<string, Promise<void>>();

  constructor(
    private readonly catalog: Catalog,
    private readonly gpus: GpusService,
    private readonly states: DeploymentStates,
    private readonly cordons: GpuCordons,
  ) {}

  /** Asks nobody. @throws UnknownModelError, InvalidOptionsError: it makes no sense */
  read(modelName: string, gpuId: number, given: Record<string, unknown>): StartWish {
    const runner = this.catalog.runnerOf(modelName, 'invalid');
    return { runner, modelName, gpuId, options: parseOptions(runner, modelName, given), given };
  }

  /** @throws GpuNotFoundError, and what the GPUs throw: it makes no sense on this host */
  async onGpus(wish: StartWish): Promise<StartAsked> {
    const gpus = await this.gpus.inventory();
    for (const id of wish.runner.gpusOf(wish.gpuId, wish.options)) assertGpuExists(id, gpus);
    return { ...wish, gpus };
  }

  /**
   * The options it would start with: with nothing said, a further GPU takes those of the GPUs that serve.
   * @throws OptionsConflictError when something else was said
   */
  optionsFor({ runner, options, given }: StartAsked, state: DeploymentState): DeploymentOptions {
    const active = state.active();
    const [first] = active;
    if (!first) return options;
    const known = state.optionsOf(first);
    const said = Object.fromEntries(Object.keys(given).map((key) => [key, options[key]]));
    if (sameOptions({ ...known, ...said }, known)) return known;
    const gpuIds = active.flatMap((placement) => placement.gpuIds).join(', ');
    throw new OptionsConflictError(
      `${state.modelName} already runs on GPU ${gpuIds} with ${JSON.stringify(known)}, and all GPUs of a model share its options: start with the same config, or stop it first.`,
      { backend: runner.backend },
    );
  }

  /**
   * The GPUs that the placement would hold.
   * @throws GpuCordonedError; PlacementOverlapError when another placement of the model has one of them
   */
  gpusFor(
    { runner, gpuId, gpus }: StartAsked,
    state: DeploymentState,
    options: DeploymentOptions,
  ): readonly number[] {
    const gpuIds = runner.gpusOf(gpuId, options);
    const { offGpu = false } = runner.gpuNeeds(state.modelName, options);
    const cordoned = offGpu ? undefined : this.cordons.refusal(heldGpus(gpus, gpuIds));
    if (cordoned) throw cordoned;
    const other = state.active().find((placement) => placement.holdsAnyOf(gpuIds));
    if (!other) return gpuIds;
    throw new PlacementOverlapError(
      `${state.modelName} would take GPU ${gpuIds.join(', ')}, and runs on GPU ${other.gpuIds.join(', ')} already: stop it there first, or choose GPUs apart from these.`,
      { gpuIds, held: other.gpuIds },
    );
  }

  /**
   * Starts of one placement that come at once share one check: a burst of them asks the Engine once. Each has its own time:
   * one that came later asks again where the check it shared had no answer.
   * @throws PreflightTimeoutError, and what stands in the way by the word of the runner
   */
  async preflight(asked: StartAsked, state: DeploymentState, options: DeploymentOptions): Promise<void> {
    const key = canonicalJson({ model: asked.modelName, gpu: asked.gpuId, options });
    const late = (): PreflightTimeoutError => lateError(asked);
    await within({ ms: PREFLIGHT_TIMEOUT_MS, late }, async (signal) => {
      while (!signal.aborted) {
        try {
          await (this.underWay.get(key) ?? this.begin(key, asked, state, options));
          return;
        } catch (error) {
          if (!(error instanceof PreflightTimeoutError)) throw error;
        }
      }
    });
  }

  /** The GPUs that the model cannot be on; none where nobody can tell soon. */
  async unusableGpus(
    { runner, modelName, gpus }: StartAsked,
    options: DeploymentOptions,
  ): Promise<ReadonlyMap<number, DomainError>> {
    try {
      return await within({ ms: UNUSABLE_TIMEOUT_MS }, (signal) =>
        runner.unusableGpus(modelName, options, gpus, signal),
      );
    } catch {
      return new Map();
    }
  }

  /** A check that others may share. */
  private begin(
    key: string,
    asked: StartAsked,
    state: DeploymentState,
    options: DeploymentOptions,
  ): Promise<void> {
    const { runner, modelName, gpus } = asked;
    const wanted = (): ReturnType<DeploymentStates['wanted']> => this.states.wanted(runner.backend);
    const held = heldGpus(gpus, runner.gpusOf(asked.gpuId, options));
    const gpuId = state.numberFor(held.map(({ id }) => id));
    const before = state.unitOn(gpuId).wanted();
    const gpuIds = [...new Set([...before.gpuIds, gpuId])].sort((a, b) => a - b);
    const deployment = { modelName, gpuIds, gpus: new Map([...(before.gpus ?? []), [gpuId, held]]), options };
    const check = within({ ms: PREFLIGHT_TIMEOUT_MS, late: () => lateError(asked) }, (signal) =>
      runner.preflight(deployment, { signal, gpus, wanted, onProgress: () => undefined }),
    ).finally(() => this.underWay.delete(key));
    this.underWay.set(key, check);
    return check;
  }
}

/** With the UUIDs, where they are known. */
export function heldGpus(gpus: readonly GpuRef[], gpuIds: readonly number[]): readonly HeldGpu[] {
  return gpuIds.map((id) => ({ id, uuid: gpus.find((gpu) => gpu.id === id)?.uuid ?? null }));
}

function lateError({ modelName }: StartAsked): PreflightTimeoutError {
  return new PreflightTimeoutError(
    `The checks of a start of ${modelName} were not done within ${PREFLIGHT_TIMEOUT_MS / 1000} s. Nothing was changed: try again.`,
  );
}

function assertGpuExists(gpuId: number, gpus: readonly GpuRef[]): void {
  if (gpus.some((gpu) => gpu.id === gpuId)) return;
  const ids = gpus.map((gpu) => gpu.id).join(', ') || 'none';
  throw new GpuNotFoundError(`CUDA device not found: there is no GPU ${gpuId} on this host. GPUs: ${ids}.`);
}

/**
 * `StartRequest.config` with the model's defaults filled in.
 * @throws InvalidOptionsError that names every key at fault
 */
export function parseOptions(
  runner: Runner,
  modelName: string,
  config: Record<string, unknown>,
): DeploymentOptions {
  const result = runner
    .optionsSchemaOf(modelName)
    .safeParse({ ...runner.defaultOptions(modelName), ...config });
  if (result.success) return result.data;
  const faults = result.error.issues.map((issue) => {
    const path = ['config', ...issue.path].join('.');
    return issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => `${path}.${key.slice(0, 100)} is no option of ${runner.backend}`).join('; ')
      : `${path}: ${issue.message}`;
  });
  throw new InvalidOptionsError(`Invalid config for ${modelName}: ${faults.join('; ')}.`);
}

export function sameOptions(a: DeploymentOptions, b: DeploymentOptions): boolean {
  return isDeepStrictEqual({ ...a }, { ...b });
}

/** What a start would come to, by what is known now. */
export interface StartForecast {
  readonly modelName: string;
  readonly backend: string;
  readonly gpuId: number;
  /** All that it would hold. */
  readonly gpuIds: readonly number[];
  /** `nothing`: it runs or starts there already. */
  readonly would: 'start' | 'nothing' | 'refuse';
  /** What a start would be refused with. */
  readonly refusal: DomainError | undefined;
  readonly need: MemoryNeed;
  /** GPU → whether the model has room there, as far as memory, policies and what the backend can use go. */
  readonly gpus: ReadonlyMap<number, Assessment>;
}
