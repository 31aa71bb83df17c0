import type { PlacementPhase } from '../../runners/observation.js';
import type { Runner } from '../../runners/runner.js';
import { ShuttingDownError } from '../deployment/errors.js';
import type { UnitState } from '../deployment/deployment-state.js';
import type { DeploymentRecords } from './deployment-records.js';
import { plan, type Step } from './planner.js';
import { Progress } from './progress.js';
import { Prober } from './prober.js';
import type { Renewal } from './renewals.js';
import { Releases, type StopManner } from './releases.js';
import { Recycles } from './recycles.js';
import { Restarts } from './restarts.js';
import { Sightings } from './sightings.js';
import { Sleeps } from './sleeps.js';
import { Starts } from './starts.js';
import { Steps } from './steps.js';
import type { WorkerServices } from './worker-services.js';

/** Steps that a sleep or a wake does not come before. */
const FIRST: ReadonlySet<Step['kind']> = new Set(['release', 'recycle', 'give-up']);

/**
 * The single writer of one unit: observes, plans and acts until nothing is left to do. Commands change what is wanted
 * under the lock of the deployment's records and then call `startAccepted`, `stopAccepted` or `endAccepted`; whatever the
 * cause, this loop does the work. Units have nothing to do with each other's loops: one that hangs holds up no other.
 */
export class UnitWorker {
  readonly sleeps: Sleeps;

  private loop: Promise<void> | undefined;
  private awake = false;
  private closed = false;
  private timer: NodeJS.Timeout | undefined;
  private renewal: Renewal | undefined;
  private readonly steps: Steps;
  private readonly prober: Prober;
  private readonly releases: Releases;
  private readonly restarts: Restarts;
  private readonly starts: Starts;
  private readonly recycles: Recycles;
  private readonly sightings: Sightings;
  private readonly progress: Progress;

  constructor(
    readonly unit: UnitState,
    runner: Runner,
    records: DeploymentRecords,
    private readonly services: WorkerServices,
  ) {
    this.steps = new Steps(unit, runner, services);
    this.prober = new Prober(runner, services);
    this.restarts = new Restarts(unit, runner, services);
    this.starts = new Starts(unit, runner, records, this.restarts, this.steps, services);
    this.recycles = new Recycles(unit, runner, records, this.restarts, this.steps, services);
    this.sightings = new Sightings(unit, services.journal, this.restarts, this.steps, records, services);
    this.releases = new Releases(unit, runner, records, this.steps, services, () => {
      this.drainEnded();
    });
    this.progress = new Progress(unit, runner, this.steps, services, () => {
      this.wake();
    });
    this.sleeps = new Sleeps(unit, runner, this.steps, services, () => {
      this.wake();
    });
  }

  /** Something starts or stops: worth a probe at the fast interval. */
  get isBusy(): boolean {
    return this.unit.toRelease().length > 0 || this.unit.active().some(({ status }) => status === 'STARTING');
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
    this.steps.outdate();
    this.restarts.accepted();
    this.progress.reset();
    this.releases.retryNow();
    this.wake();
  }

  /** A stop was accepted, the first of this GPU or a further one: a start or a sleep under way gives up its turn. */
  stopAccepted(gpuId: number, isFirst: boolean, manner: StopManner): void {
    this.steps.outdate();
    this.sleeps.forget();
    const isDue = this.releases.accepted(gpuId, isFirst, manner);
    if (isDue || this.steps.current === 'sleep') this.steps.interrupt();
    this.wake();
  }

  /** Placements were put into ERROR, and their servers are to be ended by force. */
  endAccepted(gpuIds: readonly number[]): void {
    this.steps.outdate();
    this.sleeps.forget();
    if (this.releases.endAccepted(gpuIds)) this.steps.interrupt();
    this.wake();
  }

  /** Placements were put into ERROR: a start under way gives up its turn, so that what is left of them is let go of. */
  failedMeanwhile(): void {
    this.steps.outdate();
    this.sleeps.forget();
    if (this.steps.current === 'start' || this.steps.current === 'wait') this.steps.interrupt();
    this.wake();
  }

  /** Nothing is under way, and nothing is to be done but by a renewal: all that is wanted is RUNNING. */
  get isSettled(): boolean {
    const { current } = this.steps;
    return (current === undefined || current === 'renew') && this.unit.releasing.size === 0 && !this.isBusy;
  }

  /** Has the server started anew at once, or not at all. Never waits. */
  renew(renewal: Renewal): void {
    this.renewal = renewal;
    this.wake();
  }

  /** When a stop of this GPU is done or late, ms from now. */
  stopLimitMs(gpuId: number): number {
    return this.releases.limitMs(gpuId);
  }

  /** What the health poller calls: a look at the backend, also while a step is under way. Never waits. */
  probe(): void {
    if (!this.closed) this.progress.look();
    if (this.steps.current === undefined) {
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
   * service. Resolves when nothing of it runs any more.
   */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    this.releases.close();
    this.sleeps.close(new ShuttingDownError('This service is shutting down: ask again when it is back.'));
    this.steps.interrupt();
    this.prober.close();
    await this.loop;
    this.starts.close();
  }

  private get now(): number {
    return this.services.clock.monotonicMs();
  }

  private async run(): Promise<void> {
    while (this.awake && !this.closed) {
      this.awake = false;
      try {
        if (await this.pass()) this.awake = true;
      } catch (error) {
        this.reportDefect(error);
        this.awake = false; // not again without a pause
        this.wakeIn(this.services.config.restart.initial_delay_ms);
      }
    }
  }

  /** Whether there may be more to do at once. */
  private async pass(): Promise<boolean> {
    const phases = await this.observe();
    if (!phases) return true;
    const step = plan({
      toRelease: this.unit.toRelease(),
      wanted: phases,
      releaseNotBefore: this.releases.notBefore,
      ...this.restarts.limits,
      isStuck: this.progress.stuck !== undefined,
      now: this.now,
    });
    const { renewal } = this;
    this.renewal = undefined;
    if (!FIRST.has(step.kind) && (await this.sleeps.perform())) return true;
    if (renewal && step.kind === 'none' && renewal.isQuiet()) {
      await this.recycles.renew(renewal);
      return true;
    }
    return this.execute(step, phases);
  }

  private async execute(step: Step, phases: ReadonlyMap<number, PlacementPhase>): Promise<boolean> {
    clearTimeout(this.timer);
    switch (step.kind) {
      case 'release':
        await this.releases.release(step.gpuIds);
        this.starts.endWasTried();
        return true;
      case 'start':
        await this.starts.start(gpusIn(phases, 'absent'));
        return true;
      case 'recycle':
        await this.recycles.recycle();
        return true;
      case 'heal':
        await this.heal();
        return true;
      case 'give-up':
        await this.starts.giveUp(
          step.cause,
          gpusIn(phases, step.cause === 'exhausted' ? 'absent' : 'starting'),
        );
        return true;
      case 'wait':
        this.wakeIn(step.delayMs);
        return false;
      case 'none':
        return false;
      default:
        return step satisfies never;
    }
  }

  private async heal(): Promise<void> {
    const { stuck } = this.progress;
    if (!stuck) return;
    const ended = await this.recycles.heal(stuck);
    if (ended === 'nothing') this.progress.begunAnew(stuck.kind);
    else if (ended) this.progress.healed(stuck.kind);
    else this.progress.notHealed(stuck.kind);
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
    const toServe = this.unit.toServe();
    if (toServe.gpuIds.length === 0) {
      this.starts.observed([]);
      return new Map();
    }
    const { epoch } = this.steps;
    const sinceMs = this.now;
    const observations = await this.prober.ask(toServe);
    if (epoch !== this.steps.epoch || this.closed) return undefined;
    this.starts.observed([...observations.values()]);
    this.sightings.apply([...observations.values()], sinceMs);
    this.endOutlivedStart();
    return new Map(
      this.unit.toServe().gpuIds.map((gpuId) => [gpuId, observations.get(gpuId)?.phase ?? 'unknown']),
    );
  }

  /** A start may still wait for a server that served before it froze: it gives up its turn to the server's end. */
  private endOutlivedStart(): void {
    const hasServed = this.unit.active().every(({ status }) => status === 'RUNNING');
    if (this.steps.current === 'start' && hasServed && this.restarts.isSilentTooLong) this.steps.interrupt();
  }

  /** What was to drain is to be released: a start or a sleep gives up its turn for it. */
  private drainEnded(): void {
    const { current } = this.steps;
    if (current !== 'release' && current !== 'prove') this.steps.interrupt();
    this.wake();
  }

  /** A defect of this service: said loudly. */
  private reportDefect(error: unknown): void {
    this.services.logger.error(
      { err: error, model_name: this.unit.modelName, unit: this.unit.name },
      'The deployment worker failed',
    );
  }
}

function gpusIn(phases: ReadonlyMap<number, PlacementPhase>, phase: PlacementPhase): number[] {
  return [...phases].filter(([, each]) => each === phase).map(([gpuId]) => gpuId);
}
