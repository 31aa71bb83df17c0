import { Mutex } from 'async-mutex';
import type { Clock } from '../common/clock.js';
import { deadline } from '../common/deadline.js';
import { DomainError, messageOf, retryPolicyOf } from '../common/errors.js';
import type { Logger } from '../common/logging/logger.js';
import type { Config } from '../config/schema.js';
import {
  BackendTimeoutError,
  type GpuRef,
  type PlacementObservation,
  type PlacementPhase,
  type Runner,
  type RunnerContext,
  ServerLostError,
} from '../runners/runner.js';
import type { DesiredStateStore } from '../state/desired-state.store.js';
import { Backoff } from './backoff.js';
import type { DeploymentState } from './deployment-state.js';
import type { Placement } from './placement.js';
import type { PlacementJournal } from './placement-journal.js';
import { plan, type Step } from './planner.js';
import { ReleaseWaiters } from './release-waiters.js';

/** What a worker needs of the house. */
export interface WorkerContext {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly config: Pick<Config, 'health' | 'restart'>;
  readonly store: DesiredStateStore;
  readonly journal: PlacementJournal;
  readonly gpus: () => readonly GpuRef[];
  /** All deployments wanted of a backend. */
  readonly wantedOf: (backend: string) => RunnerContext['wanted'];
}

/**
 * The single writer of one deployment: observes, plans and acts until nothing is left to do. Commands change what is
 * wanted under `lock` and then call `wake`; whatever the cause, this loop does the work.
 */
export class DeploymentWorker {
  /** Guards what is wanted, in memory and on disk: a command or the end of a step, one after another. */
  readonly lock = new Mutex();
  readonly waiters = new ReleaseWaiters();

  private loop: Promise<void> | undefined;
  private awake = false;
  private closed = false;
  private timer: NodeJS.Timeout | undefined;
  private startStep: AbortController | undefined;
  private probing = false;
  /** Grows with every command and step: an observation that began under an older one says nothing. */
  private epoch = 0;

  private readonly restarts: Backoff;
  private readonly releases: Backoff;
  private notBefore = 0;
  private waitDeadline: number;
  private runningSince = 0;
  /** The runner said that it is done, and nobody has looked since. */
  private startClaimed = false;

  constructor(
    readonly state: DeploymentState,
    private readonly runner: Runner,
    private readonly context: WorkerContext,
  ) {
    this.restarts = new Backoff(context.config.restart);
    this.releases = new Backoff(context.config.restart);
    this.waitDeadline = context.clock.monotonicMs() + runner.startTimeoutMs;
  }

  /** Something starts or stops: worth a probe at the fast interval. */
  get isBusy(): boolean {
    return (
      this.state.toRelease().length > 0 ||
      this.state.active().some((placement) => placement.status === 'STARTING')
    );
  }

  /** Looks again at what is wanted and what is true. Never waits. */
  wake(): void {
    if (this.closed) return;
    this.awake = true;
    this.loop ??= this.run().finally(() => {
      this.loop = undefined;
      if (this.awake) this.wake();
    });
  }

  /** A start was accepted: earlier failures count no more. */
  startAccepted(): void {
    this.epoch += 1;
    this.restarts.reset();
    this.notBefore = 0;
    this.waitDeadline = this.context.clock.monotonicMs() + this.runner.startTimeoutMs;
    this.wake();
  }

  /** A stop was accepted: a start under way gives up its turn. */
  stopAccepted(): void {
    this.epoch += 1;
    this.releases.reset();
    this.notBefore = 0;
    this.startStep?.abort(new Interrupted());
    this.wake();
  }

  /** What the health poller calls: a look at the backend, also while a start is under way. Never waits. */
  probe(): void {
    if (!this.startStep) {
      this.wake();
      return;
    }
    if (this.probing) return;
    this.probing = true;
    void this.observe().finally(() => {
      this.probing = false;
    });
  }

  /** Ends the loop; servers go on. Resolves when nothing of it runs any more. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    this.startStep?.abort(new Interrupted());
    await this.loop;
  }

  private async run(): Promise<void> {
    while (this.awake && !this.closed) {
      this.awake = false;
      try {
        await this.pass();
      } catch (error) {
        // A defect of this service: said loudly, and not repeated without a pause.
        this.context.logger.error(
          { err: error, model_name: this.state.modelName },
          'The deployment worker failed',
        );
        this.wakeIn(this.context.config.restart.initial_delay_ms);
      }
    }
  }

  private async pass(): Promise<void> {
    const phases = await this.observe();
    if (!phases) {
      this.awake = true;
      return;
    }
    const now = this.context.clock.monotonicMs();
    const step = plan({
      toRelease: this.state.toRelease(),
      wanted: phases,
      notBefore: this.notBefore,
      waitDeadline: this.waitDeadline,
      now,
    });
    await this.execute(step, phases);
  }

  private async execute(step: Step, phases: ReadonlyMap<number, PlacementPhase>): Promise<void> {
    clearTimeout(this.timer);
    switch (step.kind) {
      case 'release':
        return this.release(step.gpuIds);
      case 'start':
        return this.start();
      case 'give-up':
        return this.giveUp(phases);
      case 'wait':
        this.wakeIn(step.delayMs);
        return;
      case 'none':
        return;
      default:
        return step satisfies never;
    }
  }

  private wakeIn(delayMs: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.wake();
    }, delayMs);
    this.timer.unref();
  }

  /**
   * Asks the runner what is true and brings the placements' statuses in line.
   * `undefined`: a command or a step came between, so that the answer may be about a world that is gone.
   */
  private async observe(): Promise<Map<number, PlacementPhase> | undefined> {
    const wanted = this.state.wanted();
    if (wanted.gpuIds.length === 0) return new Map();
    const epoch = this.epoch;
    let observations: readonly PlacementObservation[];
    try {
      observations = await this.runner.getStatus(
        wanted,
        deadline(this.context.config.health.probe_timeout_ms),
      );
    } catch (error) {
      this.context.logger.warn({ err: error, model_name: wanted.modelName }, 'A probe failed');
      observations = [];
    }
    if (epoch !== this.epoch) return undefined;
    this.applyObservations(observations);
    const known = new Map(observations.map((observation) => [observation.gpuId, observation.phase]));
    return new Map(this.state.wanted().gpuIds.map((gpuId) => [gpuId, known.get(gpuId) ?? 'unknown']));
  }

  private applyObservations(observations: readonly PlacementObservation[]): void {
    const lost: { placement: Placement; reason: string }[] = [];
    for (const observation of observations) {
      const placement = this.state.serving.get(observation.gpuId);
      if (!placement?.isActive || observation.phase === 'unknown') continue;
      placement.pid = observation.pid;
      placement.port = observation.port;
      placement.serverName = observation.serverName;
      if (observation.phase === 'ready' && placement.status === 'STARTING') {
        this.runningSince = this.context.clock.monotonicMs();
        this.startClaimed = false;
        this.context.journal.record(
          this.state,
          placement,
          'ready',
          'the backend says that the model is ready',
        );
      }
      if (observation.phase === 'absent' && placement.status === 'RUNNING' && !this.startStep) {
        lost.push({ placement, reason: observation.reason ?? 'the model is not there any more' });
      }
    }
    if (lost.length > 0) this.bringBack(lost);
  }

  /** First loss after a stable time: at once. Soon after a start or another loss: with growing delay, then never. */
  private bringBack(lost: readonly { placement: Placement; reason: string }[]): void {
    const now = this.context.clock.monotonicMs();
    if (now - this.runningSince >= this.context.config.restart.stable_after_seconds * 1000)
      this.restarts.reset();
    this.notBefore = this.restarts.count === 0 ? now : now + this.restarts.delayMs;
    this.restarts.failed();
    this.waitDeadline = now + this.runner.startTimeoutMs;
    for (const { placement, reason } of lost) {
      this.context.journal.record(this.state, placement, 'lost', reason);
    }
    if (this.restarts.exhausted) {
      this.fail(
        lost.map(({ placement }) => placement),
        new ServerLostError(
          `The server died ${this.restarts.count} times in a row: ${lost[0]?.reason ?? ''}`,
        ),
      );
    }
  }

  private async start(): Promise<void> {
    if (this.startClaimed) {
      this.startClaimed = false;
      await this.startFailed(
        new ServerLostError('The backend said that it is done, yet does not serve the model.'),
      );
      return;
    }
    const step = new AbortController();
    this.startStep = step;
    this.epoch += 1;
    try {
      await this.runner.start(
        this.state.wanted(),
        this.runnerContext(AbortSignal.any([step.signal, AbortSignal.timeout(this.runner.startTimeoutMs)])),
      );
      this.startClaimed = true;
    } catch (error) {
      if (!step.signal.aborted) await this.startFailed(error);
    } finally {
      this.startStep = undefined;
      this.epoch += 1;
      this.awake = true;
    }
  }

  private async startFailed(error: unknown): Promise<void> {
    const now = this.context.clock.monotonicMs();
    const retry = retryPolicyOf(error);
    const starting = this.state.active().filter((placement) => placement.status === 'STARTING');
    this.notBefore = now + this.restarts.delayMs;
    if (retry === 'bounded') this.restarts.failed();
    if (retry === 'always' || (retry === 'bounded' && !this.restarts.exhausted)) {
      for (const placement of starting) placement.progress = `trying again after: ${messageOf(error)}`;
      this.context.logger.warn(
        { err: error, model_name: this.state.modelName },
        'A start failed and is tried again',
      );
      this.wakeIn(this.notBefore - now);
      return;
    }
    await this.lock.runExclusive(async () => {
      this.fail(
        starting.filter((placement) => placement.isActive),
        error,
      );
      await this.persist();
    });
  }

  private async giveUp(phases: ReadonlyMap<number, PlacementPhase>): Promise<void> {
    const waiting = this.state.active().filter((placement) => phases.get(placement.gpuId) === 'starting');
    await this.lock.runExclusive(async () => {
      this.fail(
        waiting.filter((placement) => placement.isActive),
        new BackendTimeoutError(`The model was not ready within ${this.runner.startTimeoutMs / 1000} s.`),
      );
      await this.persist();
    });
    this.awake = true;
  }

  private fail(placements: readonly Placement[], error: unknown): void {
    const failure = {
      code: error instanceof DomainError ? error.code : 'INTERNAL_ERROR',
      message: messageOf(error),
      ...(error instanceof DomainError && isLines(error.facts.log) && { log: error.facts.log }),
    };
    for (const placement of placements) {
      placement.needsRelease = true;
      this.context.journal.record(this.state, placement, 'failed', failure.message, failure);
    }
    this.notBefore = 0;
    this.awake = true;
  }

  private async release(gpuIds: readonly number[]): Promise<void> {
    this.epoch += 1;
    try {
      await this.runner.stop(
        this.state.wanted(),
        gpuIds,
        this.runnerContext(AbortSignal.timeout(this.runner.stopTimeoutMs)),
      );
      await this.lock.runExclusive(() => this.released(gpuIds));
    } catch (error) {
      this.releaseFailed(gpuIds, error);
    } finally {
      this.epoch += 1;
      this.awake = true;
    }
  }

  private async released(gpuIds: readonly number[]): Promise<void> {
    this.releases.reset();
    this.startClaimed = false;
    const done: Placement[] = [];
    for (const gpuId of gpuIds) {
      const failed = this.state.serving.get(gpuId);
      if (failed?.status === 'ERROR') failed.needsRelease = false;
      const placement = this.state.releasing.get(gpuId);
      if (!placement) continue;
      this.state.releasing.delete(gpuId);
      this.context.journal.record(this.state, placement, 'released', 'the backend has let go');
      done.push(placement);
    }
    // What is on disk still says "release": after a crash the release is done once more, and finds nothing.
    await this.persist();
    for (const placement of done) this.waiters.resolve(placement);
  }

  private releaseFailed(gpuIds: readonly number[], error: unknown): void {
    this.context.logger.error(
      { err: error, model_name: this.state.modelName, gpu_ids: gpuIds },
      'A stop failed',
    );
    const delayMs = this.releases.delayMs;
    this.releases.failed();
    for (const gpuId of gpuIds) {
      const placement = this.state.releasing.get(gpuId);
      if (placement) this.fail([placement], error);
      this.waiters.reject(gpuId, error);
    }
    this.notBefore = this.context.clock.monotonicMs() + delayMs;
  }

  private async persist(): Promise<void> {
    try {
      await this.context.store.put(
        this.state.modelName,
        this.state.isEmpty ? undefined : this.state.toDesired(),
      );
    } catch (error) {
      this.context.logger.error(
        { err: error, model_name: this.state.modelName },
        'The state could not be written',
      );
    }
  }

  private runnerContext(signal: AbortSignal): RunnerContext {
    return {
      signal,
      gpus: this.context.gpus(),
      wanted: this.context.wantedOf(this.runner.backend),
      onProgress: (progress) => {
        for (const placement of this.state.active()) {
          if (placement.status === 'STARTING') placement.progress = progress;
        }
      },
    };
  }
}

/** A step gave up its turn; nobody's fault. */
class Interrupted extends Error {
  constructor() {
    super('interrupted by a later command');
  }
}

function isLines(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((line) => typeof line === 'string');
}
