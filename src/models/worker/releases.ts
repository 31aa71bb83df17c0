import { DeadlineError, inSeconds } from '../../common/deadline.js';
import type { GpuUnhealthyError } from '../../gpus/health/errors.js';
import type { Runner } from '../../runners/runner.js';
import { Backoff } from './backoff.js';
import type { DeploymentRecords } from './deployment-records.js';
import { Drains } from './drain.js';
import { neededBesideMiB } from './held-memory.js';
import { StopTimeoutError } from '../deployment/errors.js';
import type { Placement } from '../deployment/placement.js';
import type { UnitState } from '../deployment/deployment-state.js';
import { ReleaseProof } from './release-proof.js';
import type { RunnerCall, Steps } from './steps.js';
import type { WorkerServices } from './worker-services.js';

/** Time, ms, over its own deadline in which a proof tells what it found. */
const PROOF_GRACE_MS = 5000;

/** A step asks the backend, uses force, or looks after the memory. */
type Doing = 'asking' | 'forcing' | 'proving';

/** How a stop was asked for. */
export interface StopManner {
  /** How long, ms, the backend may work on its requests first; `undefined` leaves a stop under way as it is. */
  readonly drainMs?: number | undefined;
  /** The server is ended by force. */
  readonly force?: boolean;
}

/**
 * How the GPUs of one unit are given back: the drain, the runner's stop, by asking or by force, the proof of their
 * memory, and further tries.
 */
export class Releases {
  private readonly backoff: Backoff;
  private readonly proof: ReleaseProof;
  private readonly drains: Drains;
  /** GPUs whose server is to be ended by force: tried once, then like any stop. */
  private readonly forced = new Set<number>();
  private current: { readonly doing: Doing } | undefined;
  private notBeforeMs = 0;
  private isClosed = false;

  constructor(
    private readonly unit: UnitState,
    private readonly runner: Runner,
    private readonly records: DeploymentRecords,
    private readonly steps: Steps,
    private readonly services: WorkerServices,
    /** Placements whose drain has ended are to be released. */
    onDue: () => void,
  ) {
    this.backoff = new Backoff(services.config.restart, services.clock);
    this.proof = new ReleaseProof(unit, runner, services);
    this.drains = new Drains(unit, runner, services, onDue);
  }

  /** Monotonic ms: what failed is not tried again earlier. */
  get notBefore(): number {
    return this.notBeforeMs;
  }

  /**
   * A stop was accepted, the first of this GPU or a further one.
   * @returns whether the step under way, if there is one, has to give up its turn for it
   */
  accepted(gpuId: number, isFirst: boolean, { drainMs, force = false }: StopManner): boolean {
    this.backoff.reset();
    this.notBeforeMs = 0;
    const placement = this.unit.releasing.get(gpuId);
    if (force) this.drains.cut(gpuId);
    else if (!isFirst && drainMs !== undefined) this.drains.shorten(gpuId, drainMs);
    else if (isFirst) this.drains.begin(gpuId, drainMs ?? 0);
    // What has let go holds no server that is to be ended.
    if (force && placement && !placement.hasLetGo) {
      this.forced.add(gpuId);
      return this.current?.doing !== 'forcing';
    }
    return !this.current && !this.drains.isDraining(gpuId);
  }

  /**
   * The servers of these GPUs are to be ended by force; their placements are in ERROR already.
   * @returns whether the step under way, if there is one, has to give up its turn for it
   */
  endAccepted(gpuIds: readonly number[]): boolean {
    this.backoff.reset();
    this.notBeforeMs = 0;
    this.drains.forget(gpuIds);
    for (const gpuId of gpuIds) this.forced.add(gpuId);
    return this.current?.doing !== 'forcing';
  }

  /** When a stop of this GPU is done or late, ms from now. */
  limitMs(gpuId: number): number {
    const { release_timeout_seconds: proofSeconds } = this.services.config.gpus;
    return this.drains.leftMs([gpuId]) + this.runner.stopTimeoutMs + proofSeconds * 1000;
  }

  /** Nothing drains any more, and nobody is told. */
  close(): void {
    this.isClosed = true;
    this.drains.close();
  }

  /** A start may have to wait for a release that failed. */
  retryNow(): void {
    this.notBeforeMs = 0;
  }

  /** One try; what is to be ended by force goes first, and by itself. */
  async release(gpuIds: readonly number[]): Promise<void> {
    const forced = gpuIds.filter((gpuId) => this.forced.has(gpuId));
    await (forced.length > 0 ? this.end(forced) : this.ask(gpuIds));
  }

  private async ask(gpuIds: readonly number[]): Promise<void> {
    const patienceMs = this.drains.leftMs(gpuIds);
    const limitMs = this.runner.stopTimeoutMs + patienceMs;
    await this.run('asking', {
      limitMs,
      call: async (signal) => {
        await this.proof.before(this.placementsOf(gpuIds), signal);
        const context = {
          ...(await this.steps.runnerContext(signal, 'release')),
          patienceMs,
          onCutShort: () => {
            this.drains.cutShort(gpuIds);
          },
        };
        await this.runner.stop(this.unit.wanted(), gpuIds, context);
      },
      onSuccess: () => this.prove(gpuIds),
      onFailure: (error) =>
        this.failed(gpuIds, error instanceof DeadlineError ? this.lateError(gpuIds, limitMs) : error),
    });
  }

  private async end(gpuIds: readonly number[]): Promise<void> {
    const limitMs = this.runner.stopTimeoutMs;
    const tried = (): void => {
      for (const gpuId of gpuIds) this.forced.delete(gpuId);
    };
    await this.run('forcing', {
      limitMs,
      call: async (signal) => {
        await this.proof.before(this.placementsOf(gpuIds), signal);
        await this.runner.stopByForce(
          this.unit.wanted(),
          gpuIds,
          await this.steps.runnerContext(signal, 'release'),
        );
      },
      onSuccess: () => {
        tried();
        return this.prove(gpuIds);
      },
      onFailure: (error) => {
        tried();
        return this.failed(gpuIds, error instanceof DeadlineError ? this.lateError(gpuIds, limitMs) : error);
      },
    });
  }

  private async prove(gpuIds: readonly number[]): Promise<void> {
    if (this.isClosed) return; // the next run releases once more
    for (const gpuId of gpuIds) {
      this.unit.releasing.get(gpuId)?.letGo();
    }
    this.services.journal.touched();
    await this.run('proving', {
      limitMs: this.services.config.gpus.release_timeout_seconds * 1000 + PROOF_GRACE_MS,
      call: (signal) => this.proof.after(this.placementsOf(gpuIds), signal),
      onSuccess: () => this.succeeded(gpuIds),
      onFailure: (error) => this.failed(gpuIds, error),
    });
  }

  /** What follows the end of a step is no part of it. */
  private async run(doing: Doing, step: RunnerCall): Promise<void> {
    const current = { doing };
    this.current = current;
    const ended = (): void => {
      if (this.current === current) this.current = undefined;
    };
    await this.steps.run(doing === 'proving' ? 'prove' : 'release', {
      ...step,
      onSuccess: () => {
        ended();
        return step.onSuccess();
      },
      onFailure: (error) => {
        ended();
        return step.onFailure(error);
      },
    });
    ended();
  }

  private async succeeded(gpuIds: readonly number[]): Promise<void> {
    this.backoff.reset();
    this.drains.forget(gpuIds);
    const placements = this.placementsOf(gpuIds);
    await this.records.released(gpuIds);
    this.wishRenewal(placements);
  }

  /** A server that goes on holds more than it may (`recycle_held_mb`) of what nobody there needs. */
  private wishRenewal(placements: readonly Placement[]): void {
    const { modelName } = this.unit;
    const limitMiB = this.runner.heldLimitMiB(modelName);
    if (limitMiB === null) return;
    for (const placement of placements) {
      const { gpuId, releasedMemory, formerPid: pid } = placement;
      const server = this.runner.serverNameOf(modelName, gpuId);
      const heldMiB = releasedMemory?.heldMiB ?? 0;
      if (server === null || pid === null || heldMiB <= limitMiB) continue;
      const neededMiB = neededBesideMiB(placement, server, this.services);
      const facts = {
        ...{ server, pid, model_name: modelName, limit_mb: limitMiB },
        ...{ held_mb: Math.round(heldMiB), needed_mb: neededMiB },
      };
      if (heldMiB - neededMiB <= limitMiB) continue;
      this.services.renewals.wish({ name: server, pid });
      this.services.logger.info(
        facts,
        'A server holds more memory after a stop than it may: it is started anew when it is idle',
      );
    }
  }

  /** It is tried again, ever more rarely; the callers are told now. */
  private async failed(gpuIds: readonly number[], error: unknown): Promise<void> {
    this.services.logger.error(
      { err: error, model_name: this.unit.modelName, gpu_ids: this.indicesOf(gpuIds) },
      'A stop failed and is tried again',
    );
    this.drains.forget(gpuIds);
    // A server that hangs on a bad GPU never lets go of it by itself.
    for (const gpuId of gpuIds) if (this.isOnBadGpu(gpuId)) this.forced.add(gpuId);
    const delayMs = this.backoff.delayMs;
    this.backoff.failed();
    // A stop that was accepted meanwhile must not wait for what others have failed at.
    const isNew = this.unit.toRelease().some((gpuId) => !gpuIds.includes(gpuId));
    this.notBeforeMs = isNew ? 0 : this.services.clock.monotonicMs() + delayMs;
    await this.records.releaseFailed(gpuIds, error);
  }

  private isOnBadGpu(gpuId: number): boolean {
    return (
      this.unit.serving.get(gpuId)?.error?.code === ('GPU_UNHEALTHY' satisfies GpuUnhealthyError['code'])
    );
  }

  private placementsOf(gpuIds: readonly number[]): Placement[] {
    return gpuIds.flatMap((gpuId) => this.unit.releasing.get(gpuId) ?? this.unit.serving.get(gpuId) ?? []);
  }

  private indicesOf(gpuIds: readonly number[]): number[] {
    return gpuIds.map((gpuId) => this.unit.indexOf(gpuId));
  }

  private lateError(gpuIds: readonly number[], limitMs: number): StopTimeoutError {
    return new StopTimeoutError(
      `${this.unit.modelName} on GPU ${this.indicesOf(gpuIds).join(', ')} was not stopped within ${inSeconds(limitMs)}; the stop goes on. Its status tells when it is done.`,
      { gpuIds: this.indicesOf(gpuIds) },
    );
  }
}
