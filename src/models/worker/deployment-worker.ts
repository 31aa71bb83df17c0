import type { Clock } from '../../common/clock.js';
import { messageOf } from '../../common/errors.js';
import { Interruptible } from '../../common/interruptible.js';
import type { Logger } from '../../common/logging/logger.js';
import type { Config } from '../../config/schema.js';
import type { GpuSample } from '../../gpus/gpu-provider.js';
import type { GpuRef, PlacementPhase, Runner, RunnerContext } from '../../runners/runner.js';
import type { DesiredStateStore } from '../../state/desired-state.store.js';
import { DeploymentRecords } from './deployment-records.js';
import type { DeploymentState } from '../deployment/deployment-state.js';
import { GpusUnknownError, ShuttingDownError } from '../deployment/errors.js';
import type { PlacementJournal } from '../deployment/placement-journal.js';
import { plan, type Step } from './planner.js';
import { Prober } from './prober.js';
import { Releases, type StopManner } from './releases.js';
import { Restarts } from './restarts.js';
import type { StartSlots } from './start-slots.js';
import type { RunnerCall } from './steps.js';
import { Sightings } from './sightings.js';
import { Sleeps } from './sleeps.js';
import { Starts } from './starts.js';

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

/** Steps that a sleep or a wake does not come before. */
const FIRST: ReadonlySet<Step['kind']> = new Set(['release', 'recycle', 'give-up']);

/** A call of the runner's `start`, `stop`, `sleep` or `wake`, or the wait for the turn of a start. */
interface RunningStep {
  readonly kind: 'start' | 'wait' | 'release' | 'sleep';
  /** GPUs whose servers it may disturb; `undefined`: all. */
  readonly gpuIds: readonly number[] | undefined;
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

  private readonly restarts: Restarts;
  private readonly starts: Starts;
  private readonly sightings: Sightings;

  constructor(
    readonly state: DeploymentState,
    private readonly runner: Runner,
    private readonly context: WorkerContext,
  ) {
    this.records = new DeploymentRecords(state, context);
    this.prober = new Prober(runner, context);
    this.restarts = new Restarts(runner, context);
    this.starts = new Starts(state, runner, this.records, this.restarts, context, {
      runStep: (kind, call) => this.runStep(kind, call),
      look: () => this.prober.ask(state.toServe()),
      runnerContext: (signal, kind) => this.runnerContext(signal, kind),
      epoch: () => this.epoch,
      isClosed: () => this.closed,
      again: () => {
        this.awake = true;
      },
      reportDefect: (error) => {
        this.reportDefect(error);
      },
    });
    this.sightings = new Sightings(state, context.journal, this.restarts, {
      isDisturbed: (gpuId) => this.isDisturbed(gpuId),
      onLost: () => {
        // Its turn is for what was missing when it began to wait.
        if (this.step?.kind === 'wait') this.interruptStep();
      },
      onReady: (gpuId) => {
        this.starts.isReady(gpuId);
      },
    });
    this.releases = new Releases(state, runner, this.records, context, {
      isClosed: () => this.closed,
      runStep: (step) => this.runStep('release', step),
      runnerContext: (signal) => this.runnerContext(signal, 'release'),
      onDue: () => {
        if (this.step?.kind !== 'release') this.interruptStep();
        this.epoch += 1;
        this.wake();
      },
      onReleased: () => {
        this.starts.forgetClaims();
      },
    });
    this.sleeps = new Sleeps(state, runner, context, {
      runStep: (step) => this.runStep('sleep', step),
      wake: () => {
        this.wake();
      },
    });
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
    this.restarts.accepted();
    this.releases.retryNow();
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
      ...this.restarts.limits,
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
        return this.starts.start(gpusIn(phases, 'absent'));
      case 'recycle':
        return this.starts.recycle();
      case 'give-up':
        return this.starts.giveUp(
          step.cause,
          gpusIn(phases, step.cause === 'exhausted' ? 'absent' : 'starting'),
        );
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
      this.starts.observed([]);
      return new Map();
    }
    const epoch = this.epoch;
    const observations = await this.prober.ask(toServe);
    if (epoch !== this.epoch || this.closed) return undefined;
    this.starts.observed([...observations.values()]);
    this.sightings.apply([...observations.values()]);
    return new Map(
      this.state.toServe().gpuIds.map((gpuId) => [gpuId, observations.get(gpuId)?.phase ?? 'unknown']),
    );
  }

  /** Runs a step to its end; one that was interrupted has neither failed nor succeeded. */
  private async runStep(
    kind: RunningStep['kind'],
    { limitMs, gpuIds, call, onSuccess, onFailure }: RunnerCall,
  ): Promise<void> {
    const work = new Interruptible(limitMs, STEP_GRACE_MS);
    this.step = { kind, gpuIds, work };
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

  private interruptStep(): void {
    this.epoch += 1;
    this.step?.work.interrupt();
  }

  /** By the step under way, on its own server or one that it shares. */
  private isDisturbed(gpuId: number): boolean {
    if (!this.step) return false;
    const serverOn = (id: number): string | null => this.runner.serverNameOf(this.state.modelName, id);
    return this.step.gpuIds?.some((id) => id === gpuId || serverOn(id) === serverOn(gpuId)) ?? true;
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
