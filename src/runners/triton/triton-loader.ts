import { DeadlineError, type TimeLimit, within } from '../../common/deadline.js';
import { DomainError, messageOf } from '../../common/errors.js';
import { StopFailedError } from '../../launchers/launcher.js';
import type { TroubleKind } from '../progress.js';
import { BackendTimeoutError, ModelLoadError } from '../errors.js';
import type { Deployment, GpuRef } from '../deployment.js';
import type { RunnerContext, StopContext } from '../runner-context.js';
import { hasGroup } from './instance-groups.js';
import type { ModelPlaces } from './model-places.js';
import type { ModelRepository } from './model-repository.js';
import { PollFailures } from './poll-failure.js';
import { optionsOf } from './triton-options.js';
import type { RunningTriton, TritonServer } from './triton-server.js';
import { unloadFully, untilUnloadEnds } from './unload.js';

/** Time, ms, of the unload of a model that gets nothing done. */
const STUCK_UNLOAD_MS = 5000;
/** Longest time, ms, of an unload that an earlier run of this service, or somebody else, has left to Triton. */
const LEFT_UNLOAD_MS = 30_000;

/** Loads models into servers that run, and unloads them. */
export class TritonLoader {
  /** Models whose last load was answered: of any other, a load may still be under way in Triton. */
  private readonly answeredLoads = new Set<string>();
  /** Models that are being unloaded while their requests have time: their server goes on until then. */
  private readonly workingOff = new Set<string>();
  private readonly pollFailures = new PollFailures();

  /**
   * @param repository what a server that is launched now will read
   * @param timeoutSeconds longest time that a load or an unload may take (`api_timeout_seconds`)
   */
  constructor(
    private readonly repository: ModelRepository,
    private readonly places: ModelPlaces,
    private readonly timeoutSeconds: number,
  ) {}

  /** Models whose requests have time to finish: their server is needed until then. */
  get modelsWorkedOff(): readonly string[] {
    return [...this.workingOff];
  }

  /**
   * The server, live, once an unload of the model that is under way there is over; where that does not end in its time, as an
   * execution hangs, the server is ended by force and launched anew.
   * @throws StopFailedError, and what `live` throws
   */
  async afterUnload(
    server: TritonServer,
    model: string,
    live: () => Promise<RunningTriton>,
    { signal, onProgress }: RunnerContext,
  ): Promise<RunningTriton> {
    const running = await live();
    const ms = Math.min(LEFT_UNLOAD_MS, this.timeoutSeconds * 1000);
    const tell = (): void => {
      onProgress(`waiting: Triton is still unloading ${model}; it is ended after ${ms / 1000} s`);
    };
    let isOver = true;
    try {
      isOver = await untilUnloadEnds(running.client, model, { ms, signal }, tell);
    } catch {
      signal.throwIfAborted(); // the load tells better what keeps Triton from answering
    }
    if (!isOver) await server.endRun(running.info.id, signal);
    const next = isOver ? running : await live();
    onProgress(`loading ${model}`);
    return next;
  }

  /** Loads the model for all GPUs of the deployment. @throws ModelLoadError, BackendTimeoutError, ServerLostError */
  async load(
    server: TritonServer,
    running: RunningTriton,
    deployment: Deployment,
    context: RunnerContext,
  ): Promise<void> {
    await this.writeConfig(deployment, context.gpus, running);
    this.answeredLoads.delete(deployment.modelName);
    try {
      await within(this.limit(context), (limit) => running.client.load(deployment.modelName, limit));
      this.answeredLoads.add(deployment.modelName);
    } catch (error) {
      if (error instanceof ModelLoadError) {
        this.answeredLoads.add(deployment.modelName);
        const message = await this.inWordsOfItsLog(error, deployment.modelName, server, context.signal);
        const facts = { ...error.facts, log: await server.lastLines() };
        context.signal.throwIfAborted();
        const memory = server.memoryNote(running.info.id);
        const words = memory === undefined ? message : `${message} (${memory})`;
        throw new ModelLoadError(words, facts, { cause: error });
      }
      context.signal.throwIfAborted();
      if (error instanceof DeadlineError) {
        throw new BackendTimeoutError(
          `Triton did not load ${deployment.modelName} within ${this.timeoutSeconds} s (runners.triton.api_timeout_seconds).${withSpace(server.memoryNote(running.info.id))}`,
          { log: await server.lastLines() },
          { cause: error },
        );
      }
      if (error instanceof DomainError) throw error;
      throw await server.lost(
        `Triton broke off the load of ${deployment.modelName} (${messageOf(error)})`,
        error,
        running.info.id,
      );
    }
  }

  /** Takes the groups of `gpuIds` out; the instances that stay go on serving. */
  async shrink(
    server: TritonServer,
    deployment: Deployment,
    gpuIds: readonly number[],
    context: RunnerContext,
  ): Promise<void> {
    const running = await server.findLive(context);
    if (!running || !(await this.mayServeOn(gpuIds, running, deployment.modelName, context.signal))) {
      await this.writeConfig(deployment, context.gpus, running);
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
   * Unloads the model and gives its requests the rest of their time: an unload finishes what waits and what executes, which
   * no metric shows, and the end of the server would cut it off. Who stops another model meanwhile leaves the server alone.
   */
  async workOff(server: TritonServer, model: string, context: StopContext): Promise<void> {
    this.workingOff.add(model);
    try {
      await within({ ms: context.patienceMs, signal: context.signal }, async (limit) => {
        const running = await server.find(limit);
        if (running) await unloadFully(running.client, model, limit);
      });
    } catch {
      context.signal.throwIfAborted(); // nothing else keeps the stop from going on
      context.onCutShort?.();
    } finally {
      this.workingOff.delete(model);
    }
  }

  /**
   * Unloads a model that gets nothing done, and says whether its server can go on. An unload waits for what executes, and for
   * Python processes that are dead (tried on Triton's own binary): that of a model whose requests only fail is left to itself,
   * and the model is loaded beside it. What hangs would keep its memory.
   */
  async unstick(
    server: TritonServer,
    running: RunningTriton,
    deployment: Deployment,
    kind: TroubleKind,
    context: RunnerContext,
  ): Promise<boolean> {
    const { signal } = context;
    try {
      await within({ ms: STUCK_UNLOAD_MS, signal }, (limit) =>
        unloadFully(running.client, deployment.modelName, limit),
      );
      return true;
    } catch {
      signal.throwIfAborted();
      if (kind === 'stalled') return false;
    }
    try {
      if (!(await server.isStill(running, signal))) return false;
      await this.load(server, running, deployment, context);
      return true;
    } catch (error) {
      signal.throwIfAborted();
      return error instanceof ModelLoadError; // the next start says so, too
    }
  }

  /** Resolves, too, when the server died: it has let go of the model. @throws StopFailedError */
  async unload(
    server: TritonServer,
    running: RunningTriton,
    model: string,
    gpuIds: readonly number[],
    context: Pick<RunnerContext, 'signal'>,
  ): Promise<void> {
    try {
      await within(this.limit(context), (limit) => unloadFully(running.client, model, limit));
    } catch (error) {
      // A server that died, or that others have stopped meanwhile, has let go of everything.
      if (!(await server.isStill(running, context.signal))) return;
      const from = gpuIds.length > 0 ? ` from GPU ${gpuIds.join(', ')}` : '';
      const why =
        error instanceof DeadlineError
          ? ` within ${this.timeoutSeconds} s (runners.triton.api_timeout_seconds).`
          : `: ${messageOf(error)}`;
      throw new StopFailedError(
        `Triton did not unload ${model}${from}${why}`,
        { model, gpuIds, log: await server.lastLines() },
        { cause: error },
      );
    }
  }

  /** "failed to poll from model repository" is all that Triton answers to some faults: its log has the cause. */
  private async inWordsOfItsLog(
    { message }: ModelLoadError,
    model: string,
    server: TritonServer,
    signal: AbortSignal,
  ): Promise<string> {
    if (!message.includes('failed to poll')) return message;
    const cause = await this.pollFailures.causeOf(model, server, signal);
    return cause === undefined ? message : `Triton could not load ${model}: ${cause}`;
  }

  private limit({ signal }: Pick<RunnerContext, 'signal'>): TimeLimit {
    return { ms: this.timeoutSeconds * 1000, signal };
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

  private async writeConfig(
    deployment: Deployment,
    gpus: readonly GpuRef[],
    running: RunningTriton | undefined,
  ): Promise<void> {
    const { modelName, options } = deployment;
    const places = this.places.of(deployment, gpus, running?.sight);
    const repository = running?.repository ?? this.repository;
    await repository.writeConfig(
      modelName,
      places,
      optionsOf(options).instances_per_gpu,
      this.places.kindOf(modelName),
    );
  }
}

function withSpace(note: string | undefined): string {
  return note === undefined ? '' : ` ${note}.`;
}
