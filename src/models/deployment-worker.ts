import type { Clock } from '../common/clock.js';
import { DeadlineError } from '../common/deadline.js';
import { DomainError, messageOf, retryPolicyOf } from '../common/errors.js';
import { Interruptible } from '../common/interruptible.js';
import type { Logger } from '../common/logging/logger.js';
import type { Config } from '../config/schema.js';
import type { GpuSample } from '../gpus/gpu-provider.js';
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
import { DeploymentRecords } from './deployment-records.js';
import type { DeploymentState } from './deployment-state.js';
import { GpusUnknownError, ShuttingDownError } from './errors.js';
import type { Placement } from './placement.js';
import type { PlacementJournal } from './placement-journal.js';
import { plan, type Step } from './planner.js';
import { Prober } from './prober.js';
import { Releases, type StopManner } from './releases.js';
import type { StartSlot, StartSlots } from './room/start-slots.js';
import { StartTurn } from './room/start-turn.js';
import { Sleeps } from './sleep/sleeps.js';

/** Time, ms, a runner has to come back from a call that it was told to end. */
const STEP_GRACE_MS = 5000;

/** What a worker needs of the house. */
export interface WorkerContext {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly config: Pick<Config, 'gpus' | 'health' | 'liveness' | 'restart'>;
  readonly store: DesiredStateStore;
  readonly journal: PlacementJournal;
  readonly gpus: () => Promise<readonly GpuRef[]>;
  /** A reading that began after the call. */
  readonly readGpus: () => Promise<readonly GpuSample[]>;
  /** What is placed on the GPUs has changed without a transition. */
  readonly tenantsChanged: () => void;
  readonly slots: StartSlots;
  /** All deployments wanted of a backend. */
  readonly wantedOf: (backend: string) => RunnerContext['wanted'];
}

/** Longest timer there is: the wait for others' starts ends with theirs, each of which has its own deadline. */
const NO_LIMIT_MS = 2 ** 31 - 1;

/** Steps that a sleep or a wake does not come before. */
const FIRST: ReadonlySet<Step['kind']> = new Set(['release', 'recycle', 'give-up']);

/** A call of the runner's `start`, `stop`, `sleep` or `wake`. */
interface RunningStep {
  readonly kind: 'start' | 'release' | 'sleep';
  readonly work: Interruptible;
}

/**
 * The single writer of one deployment: observes, plans and acts until nothing is left to do. Commands change what is
 * wanted under the lock of its records and then call `startAccepted` or `stopAccepted`; whatever the cause, this loop does the work.
 */
export class DeploymentWorker {
  readonly records: DeploymentRecords;
  readonly sleeps: Sleeps;

  private loop: Promise<void> | undefined;
  private awake = false;
  private closed = false;
  private timer: NodeJS.Timeout | undefined;
  private step: RunningStep | undefined;
  private readonly prober: Prober;
  private readonly releases: Releases;
  /** Grows with every command and step: an observation that began under an older one says nothing. */
  private epoch = 0;

  private readonly restarts: Backoff;
  private readonly turn: StartTurn;
  private startNotBefore = 0;
  private waitDeadline: number;
  /** Since when the server has not answered. */
  private silentSince: number | undefined;
  private runningSince = 0;
  private lastFault = '';
  /** GPUs on which the model serves by the runner's word alone: nobody has seen it ready since. */
  private claimed: readonly number[] = [];

  constructor(
    readonly state: DeploymentState,
    private readonly runner: Runner,
    private readonly context: WorkerContext,
  ) {
    this.records = new DeploymentRecords(state, context);
    this.prober = new Prober(runner, context);
    this.restarts = new Backoff(context.config.restart);
    this.turn = new StartTurn(state, runner, context.slots);
    this.releases = new Releases(state, runner, this.records, context, {
      isClosed: () => this.closed,
      runStep: ({ call, onSuccess, onFailure, limitMs }) =>
        this.runStep('release', call, onSuccess, onFailure, limitMs),
      runnerContext: (signal) => this.runnerContext(signal, 'release'),
      onDue: () => {
        this.epoch += 1;
        if (this.step?.kind !== 'release') this.step?.work.interrupt();
        this.wake();
      },
      onReleased: () => {
        this.claimed = [];
      },
    });
    this.sleeps = new Sleeps(state, runner, context, {
      runStep: ({ call, onSuccess, onFailure, limitMs }) =>
        this.runStep('sleep', call, onSuccess, onFailure, limitMs),
      wake: () => {
        this.wake();
      },
    });
    this.waitDeadline = this.now + runner.startTimeoutMs;
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
    this.loop ??= Promise.resolve()
      .then(() => this.run())
      .finally(() => {
        this.loop = undefined;
        if (this.awake) this.wake();
      });
  }

  /** A start was accepted: earlier failures count no more. */
  startAccepted(): void {
    this.epoch += 1;
    this.restarts.reset();
    this.startNotBefore = 0;
    this.releases.retryNow();
    this.waitDeadline = this.now + this.runner.startTimeoutMs;
    this.wake();
  }

  /** A stop was accepted, the first of this GPU or a further one: a start or a sleep under way gives up its turn. */
  stopAccepted(gpuId: number, isFirst: boolean, manner: StopManner): void {
    this.epoch += 1;
    this.sleeps.forget();
    const isDue = this.releases.accepted(gpuId, isFirst, manner);
    if (isDue || this.step?.kind === 'sleep') this.step?.work.interrupt();
    this.wake();
  }

  /** Placements were put into ERROR, and their servers are to be ended by force. */
  endAccepted(gpuIds: readonly number[]): void {
    this.epoch += 1;
    this.sleeps.forget();
    if (this.releases.endAccepted(gpuIds)) this.step?.work.interrupt();
    this.wake();
  }

  /** When a stop of this GPU is done or late, ms from now. */
  stopLimitMs(gpuId: number): number {
    return this.releases.limitMs(gpuId);
  }

  /** What the health poller calls: a look at the backend, also while a step is under way. Never waits. */
  probe(): void {
    if (!this.step) {
      this.wake();
      return;
    }
    if (this.closed || this.prober.isAsking) return;
    void this.observe().catch((error: unknown) => {
      this.reportDefect(error);
    });
  }

  /**
   * Ends the loop, and the step under way; servers go on, and what was accepted is completed by the next run of the
   * service. Whoever waits for a stop is told so. Resolves when nothing of it runs any more.
   */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    this.records.waiters.close(
      new ShuttingDownError(
        'This service is shutting down; the stop was accepted and goes on when it is back.',
      ),
    );
    this.releases.close();
    this.sleeps.close(new ShuttingDownError('This service is shutting down: ask again when it is back.'));
    this.step?.work.interrupt();
    this.prober.interrupt();
    await this.loop;
    await this.records.lock.waitForUnlock();
  }

  private get silenceLimitMs(): number {
    return this.context.config.liveness.deadline_seconds * 1000;
  }

  private get now(): number {
    return this.context.clock.monotonicMs();
  }

  private async run(): Promise<void> {
    while (this.awake && !this.closed) {
      this.awake = false;
      try {
        await this.pass();
      } catch (error) {
        this.reportDefect(error);
        this.awake = false; // not again without a pause
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
    const step = plan({
      toRelease: this.state.toRelease(),
      wanted: phases,
      releaseNotBefore: this.releases.notBefore,
      startNotBefore: this.startNotBefore,
      exhausted: this.restarts.exhausted,
      waitDeadline: this.waitDeadline,
      silenceDeadline: (this.silentSince ?? this.now) + this.silenceLimitMs,
      now: this.now,
    });
    if (!FIRST.has(step.kind) && (await this.sleeps.perform())) return;
    await this.execute(step, phases);
  }

  private async execute(step: Step, phases: ReadonlyMap<number, PlacementPhase>): Promise<void> {
    clearTimeout(this.timer);
    switch (step.kind) {
      case 'release':
        return this.releases.release(step.gpuIds);
      case 'start':
        return this.start(gpusIn(phases, 'absent'));
      case 'recycle':
        return this.recycle();
      case 'give-up':
        return step.cause === 'exhausted'
          ? this.fail(this.starting(gpusIn(phases, 'absent')), this.exhaustedError())
          : this.fail(this.starting(gpusIn(phases, 'starting')), this.lateError());
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
    if (this.closed) return;
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
    const toServe = this.state.toServe();
    if (toServe.gpuIds.length === 0) {
      this.turn.observed([]);
      return new Map();
    }
    const epoch = this.epoch;
    const observations = await this.prober.ask(toServe);
    if (epoch !== this.epoch || this.closed) return undefined;
    this.applyObservations([...observations.values()]);
    return new Map(
      this.state.toServe().gpuIds.map((gpuId) => [gpuId, observations.get(gpuId)?.phase ?? 'unknown']),
    );
  }

  private applyObservations(observations: readonly PlacementObservation[]): void {
    this.turn.observed(observations);
    const isSilent = observations.some(({ phase }) => phase === 'silent');
    this.silentSince = isSilent ? (this.silentSince ?? this.now) : undefined;
    const lost: [Placement, PlacementObservation][] = [];
    for (const observation of observations) {
      const placement = this.state.serving.get(observation.gpuId);
      if (!placement?.isActive) continue;
      if (observation.phase === 'unknown' || observation.phase === 'silent') {
        this.applyNoAnswer(placement, observation);
        continue;
      }
      placement.pid = observation.pid;
      placement.port = observation.port ?? placement.port;
      placement.serverName = observation.serverName;
      if (observation.phase === 'ready') {
        this.claimed = this.claimed.filter((gpuId) => gpuId !== placement.gpuId);
        if (placement.status === 'STARTING') {
          this.runningSince = this.now;
          this.context.journal.record(
            this.state,
            placement,
            'ready',
            'the backend says that the model is ready',
          );
        }
        placement.sleeping = observation.sleeping ?? placement.sleeping;
      } else if (placement.status === 'RUNNING' && !this.step) {
        lost.push([placement, observation]);
      }
    }
    if (lost.length > 0) this.bringBack(lost);
  }

  /** RUNNING is never hearsay: where nobody can tell, it ends. A silent server has its deadline first. */
  private applyNoAnswer(placement: Placement, { phase, reason }: PlacementObservation): void {
    if (this.step) return;
    if (placement.status === 'RUNNING' && phase === 'unknown') {
      const words = `nobody can tell whether the model serves: ${reason ?? 'no answer'}`;
      this.context.journal.record(this.state, placement, 'lost', words);
    }
    if (placement.status === 'STARTING') {
      placement.progress = `waiting for an answer: ${reason ?? 'none so far'}`;
    }
  }

  /** First loss after a stable time: at once. Soon after another: with growing delay, then never. */
  private bringBack(lost: readonly (readonly [Placement, PlacementObservation])[]): void {
    this.waitDeadline = this.now + this.runner.startTimeoutMs;
    const absent = lost.find(([, { phase }]) => phase === 'absent');
    if (absent) this.countLoss(absent[1].reason ?? 'the model is not there any more');
    for (const [placement, { phase, reason }] of lost) {
      const words =
        phase === 'absent' ? 'the model is not there any more' : 'the backend starts the model anew';
      this.context.journal.record(this.state, placement, 'lost', reason ?? words);
    }
  }

  private countLoss(fault: string): void {
    const servedMs = (this.silentSince ?? this.now) - this.runningSince;
    const wasRunning = this.state.active().some((placement) => placement.status === 'RUNNING');
    if (wasRunning && servedMs >= this.context.config.restart.stable_after_seconds * 1000) {
      this.restarts.reset();
    }
    this.startNotBefore = this.restarts.count === 0 ? this.now : this.now + this.restarts.delayMs;
    this.restarts.failed();
    this.lastFault = fault;
  }

  private async recycle(): Promise<void> {
    const wanted = this.state.wanted();
    const fault = `its server did not answer for ${this.silenceLimitMs / 1000} s (liveness.deadline_seconds)`;
    let wasEnded = false;
    await this.runStep(
      'start',
      async (signal) => {
        wasEnded = await this.runner.recycle(wanted, await this.runnerContext(signal, 'release'));
      },
      () => {
        if (!wasEnded) return;
        this.claimed = [];
        this.countLoss(fault);
        for (const placement of this.state.active()) {
          if (placement.status === 'RUNNING') {
            this.context.journal.record(this.state, placement, 'lost', `${fault}: it is started anew`);
          }
        }
      },
      (error) => {
        this.context.logger.error(
          { err: error, model_name: this.state.modelName },
          'A server that does not answer could not be ended and is tried again',
        );
      },
    );
    this.silentSince = undefined; // either way it has its deadline once more
  }

  private async start(absent: readonly number[]): Promise<void> {
    const broken = absent.filter((gpuId) => this.claimed.includes(gpuId));
    this.claimed = [];
    if (broken.length > 0) {
      const error = new ServerLostError('The backend said that it is done, yet does not serve the model.');
      await this.startFailed(this.starting(broken), error);
      return;
    }
    const slot = this.turn.isNeeded ? await this.slot(absent) : undefined;
    if (this.turn.isNeeded && !slot) return;
    try {
      await this.startAll();
    } finally {
      slot?.release();
    }
  }

  /** `undefined`: something else was wanted meanwhile, and the next pass sees what. */
  private async slot(absent: readonly number[]): Promise<StartSlot | undefined> {
    let slot: StartSlot | undefined;
    let epoch = this.epoch;
    const take = async (signal: AbortSignal): Promise<void> => {
      epoch = this.epoch;
      slot = await this.turn.take(this.starting(absent), signal);
    };
    const isCurrent = (): boolean => !this.closed && this.epoch === epoch + 1; // the end of the step is one
    await this.runStep('start', take, () => undefined, this.reportDefect.bind(this), NO_LIMIT_MS);
    if (isCurrent()) return slot;
    slot?.release();
    return undefined;
  }

  private async startAll(): Promise<void> {
    const wanted = this.state.wanted();
    const { gpuIds } = this.state.toServe();
    const placements = this.starting(gpuIds);
    this.waitDeadline = this.now + this.runner.startTimeoutMs;
    await this.runStep(
      'start',
      async (signal) => this.runner.start(wanted, await this.runnerContext(signal, 'start')),
      () => {
        this.claimed = gpuIds;
      },
      (error) => this.startFailed(placements, error instanceof DeadlineError ? this.lateError() : error),
    );
  }

  private async startFailed(placements: readonly Placement[], error: unknown): Promise<void> {
    const retry = retryPolicyOf(error);
    const delayMs = this.restarts.delayMs;
    if (retry === 'bounded') {
      this.restarts.failed();
      this.lastFault = messageOf(error);
    }
    if (retry === 'never' || (retry === 'bounded' && this.restarts.exhausted)) {
      await this.fail(placements, error);
      return;
    }
    this.startNotBefore = this.now + delayMs;
    for (const placement of placements) {
      if (placement.status === 'STARTING') placement.progress = `trying again after: ${messageOf(error)}`;
    }
    this.context.logger.warn(
      { err: error, model_name: this.state.modelName },
      'A start failed and is tried again',
    );
    this.awake = true;
  }

  private async fail(placements: readonly Placement[], error: unknown): Promise<void> {
    this.awake = true;
    await this.records.failed(placements, error);
  }

  /** Runs a step to its end; one that was interrupted has neither failed nor succeeded. */
  private async runStep(
    kind: RunningStep['kind'],
    call: (signal: AbortSignal) => Promise<void>,
    onSuccess: () => void | Promise<void>,
    onFailure: (error: unknown) => void | Promise<void>,
    limitMs = this.runner.startTimeoutMs,
  ): Promise<void> {
    const work = new Interruptible(limitMs, STEP_GRACE_MS);
    this.step = { kind, work };
    this.epoch += 1;
    let failure: { readonly error: unknown } | undefined;
    try {
      await work.run(call);
    } catch (error) {
      failure = { error };
    } finally {
      this.step = undefined;
      this.epoch += 1;
      this.awake = true;
    }
    if (!failure) await onSuccess();
    else if (!work.isInterrupted) await onFailure(failure.error);
  }

  private async runnerContext(signal: AbortSignal, kind: RunningStep['kind']): Promise<RunnerContext> {
    let gpus: readonly GpuRef[] = [];
    try {
      gpus = await this.context.gpus();
    } catch (error) {
      // To let go of a model, a runner need not know the GPUs.
      if (kind === 'start')
        throw new GpusUnknownError(`The GPUs cannot be read: ${messageOf(error)}`, {}, { cause: error });
    }
    signal.throwIfAborted();
    return {
      signal,
      gpus,
      wanted: this.context.wantedOf(this.runner.backend),
      onProgress: (progress) => {
        if (signal.aborted) return;
        for (const placement of this.state.active()) {
          if (placement.status === 'STARTING') placement.progress = progress;
        }
      },
    };
  }

  private starting(gpuIds: readonly number[]): Placement[] {
    return gpuIds
      .map((gpuId) => this.state.serving.get(gpuId))
      .filter((placement) => placement !== undefined)
      .filter((placement) => placement.status === 'STARTING');
  }

  private exhaustedError(): DomainError {
    return new ServerLostError(`The server died ${this.restarts.count} times in a row: ${this.lastFault}`);
  }

  private lateError(): DomainError {
    return new BackendTimeoutError(
      `${this.state.modelName} was not ready within ${this.runner.startTimeoutMs / 1000} s.`,
    );
  }

  /** A defect of this service: said loudly. */
  private reportDefect(error: unknown): void {
    this.context.logger.error(
      { err: error, model_name: this.state.modelName },
      'The deployment worker failed',
    );
  }
}

function gpusIn(phases: ReadonlyMap<number, PlacementPhase>, phase: PlacementPhase): number[] {
  return [...phases].filter(([, each]) => each === phase).map(([gpuId]) => gpuId);
}
