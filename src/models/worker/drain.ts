import { inSeconds, within } from '../../common/deadline.js';
import type { Workload } from '../../runners/observation.js';
import type { Runner } from '../../runners/runner.js';
import { messageOf } from '../../common/errors.js';
import type { UnitState } from '../deployment/deployment-state.js';
import type { DrainOutcome } from '../deployment/stop-outcome.js';
import type { WorkerServices } from './worker-services.js';

const POLL_MS = 250;
/** A backend that has finished no request for so long, ms, and has none that waits, is taken for idle. */
const QUIET_MS = 1000;
/** Answers, one after another, that say nothing: it is no use to wait for what nobody can tell. */
const MAX_FAILURES = 3;
/** A timer may fire so much too early, ms. */
const TIMER_SLACK_MS = 5;

/** What the looks at a backend have shown so far. */
interface Seen {
  /** Monotonic ms. */
  readonly busyUntil: number;
  /** `Workload.finished` of the last answer. */
  readonly finished: number | undefined;
  /** `Workload.open` of the last answer. */
  readonly open: number;
  /** In a row. */
  readonly failures: number;
}

const WORKED_OFF: DrainOutcome = { drained: true };

function notDrained(reason: string): DrainOutcome {
  return { drained: false, reason };
}

/**
 * The drains of one unit: before GPUs are released, their placements serve on until the backend has worked off
 * its requests, or until the deadline of each. Nothing waits for a drain: the worker goes on, and `onEnd` tells it what
 * is due. A placement that drains is `isDraining`, and counts in what is wanted of its backend.
 */
export class Drains {
  /** When a GPU's patience with requests ends, monotonic ms; kept until its release has ended. */
  private readonly deadlines = new Map<number, number>();
  /** How long a GPU's drain was to take, ms, for as long. */
  private readonly limits = new Map<number, number>();
  /** What the last look that failed failed of. */
  private lastFailure = '';
  private watch: AbortController | undefined;
  /** Of the watch's next look. */
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly unit: UnitState,
    private readonly runner: Runner,
    private readonly services: Pick<WorkerServices, 'clock' | 'logger' | 'config'>,
    /** These GPUs are to be released now. */
    private readonly onEnd: () => void,
  ) {}

  /** Lets the placement serve on for `limitMs` at the most; what does not serve has no requests to work off. */
  begin(gpuId: number, limitMs: number): void {
    const placement = this.unit.releasing.get(gpuId);
    if (!placement || limitMs <= 0) return;
    if (placement.status !== 'RUNNING') {
      placement.drainedAs(
        notDrained(`It was ${placement.status} when it was stopped, and served no requests.`),
      );
      return;
    }
    this.deadlines.set(gpuId, this.now + limitMs);
    this.limits.set(gpuId, limitMs);
    placement.drain(true);
    placement.tell('waiting until requests are worked off');
    this.startWatch();
  }

  /**
   * A further stop can shorten a drain, never lengthen it: who waits for the first one counts on its deadline. Where there was
   * none, it comes too late.
   */
  shorten(gpuId: number, limitMs: number): void {
    const before = this.deadlines.get(gpuId);
    const placement = this.unit.releasing.get(gpuId);
    if (before === undefined) {
      if (limitMs > 0 && placement && !placement.drainOutcome)
        placement.drainedAs(notDrained('An earlier stop, without a drain, was under way.'));
      return;
    }
    this.deadlines.set(gpuId, Math.min(before, this.now + limitMs));
    if (limitMs <= 0) this.end([gpuId], notDrained('A further stop ended the drain.'));
    else if (this.watch) this.startWatch();
  }

  isDraining(gpuId: number): boolean {
    return this.unit.releasing.get(gpuId)?.isDraining ?? false;
  }

  /** What is left, ms, of the longest drain of these GPUs: for so long their requests may hold up the release. */
  leftMs(gpuIds: readonly number[]): number {
    return Math.max(0, ...gpuIds.map((gpuId) => (this.deadlines.get(gpuId) ?? 0) - this.now));
  }

  /** It is stopped by force. */
  cut(gpuId: number): void {
    this.end([gpuId], notDrained('It was stopped by force.'));
    this.forget([gpuId]);
  }

  /** The backend was told to finish the requests of these GPUs, and did not within what was left of the drain. */
  cutShort(gpuIds: readonly number[]): void {
    for (const gpuId of gpuIds) {
      const outcome = notDrained(`Requests were still under way ${this.whenOver(gpuId)}.`);
      this.unit.releasing.get(gpuId)?.drainedAs(outcome);
    }
  }

  /** Requests of these GPUs hold up nothing any more. */
  forget(gpuIds: readonly number[]): void {
    this.end(gpuIds, notDrained('Its server was ended.'));
    for (const gpuId of gpuIds) {
      this.deadlines.delete(gpuId);
      this.limits.delete(gpuId);
    }
  }

  /** Looks no more; nobody is told. */
  close(): void {
    clearTimeout(this.timer);
    this.watch?.abort();
    this.watch = undefined;
  }

  private get now(): number {
    return this.services.clock.monotonicMs();
  }

  private draining(): number[] {
    return [...this.unit.releasing.values()].filter((each) => each.isDraining).map(({ gpuId }) => gpuId);
  }

  private end(gpuIds: readonly number[], outcome: DrainOutcome): void {
    for (const gpuId of gpuIds) {
      const placement = this.unit.releasing.get(gpuId);
      if (!placement?.isDraining) continue;
      placement.drainedAs(outcome);
      placement.drain(false);
    }
    if (this.draining().length === 0) this.close();
  }

  /** From now on with the deadlines as they are now. */
  private startWatch(): void {
    this.close();
    const watch = new AbortController();
    this.watch = watch;
    const seen = { busyUntil: this.now + QUIET_MS, finished: undefined, open: 0, failures: 0 };
    void this.look(seen, watch.signal);
  }

  /** Looks, and again after a while; a defect of this service ends the drain, not the stop. */
  private async look(seen: Seen, signal: AbortSignal): Promise<void> {
    try {
      const next = await this.judge(seen, signal);
      if (!next) return;
      const delayMs = Math.max(1, Math.min(POLL_MS, this.shortestMs()));
      this.timer = setTimeout(() => void this.look(next, signal), delayMs);
    } catch (error) {
      if (signal.aborted) return;
      this.services.logger.error({ err: error, model_name: this.unit.modelName }, 'A drain failed');
      this.finish(this.draining(), notDrained(`This service failed at it: ${messageOf(error)}`));
    }
  }

  /** What was seen, this look included; `undefined` when nothing drains any more. */
  private async judge(seen: Seen, signal: AbortSignal): Promise<Seen | undefined> {
    const expired = this.draining().filter((gpuId) => this.leftMs([gpuId]) === 0);
    for (const gpuId of expired) this.finish([gpuId], notDrained(this.expiredWords(gpuId, seen)));
    const gpuIds = this.draining();
    if (gpuIds.length === 0 || signal.aborted) return undefined;
    const workload = await this.ask(gpuIds, this.shortestMs(), signal);
    signal.throwIfAborted();
    if (workload === undefined) {
      // A look that the end of the drain cut short takes nothing from what the one before has counted.
      const isCutShort = this.shortestMs() < TIMER_SLACK_MS && seen.finished !== undefined;
      return isCutShort ? seen : this.judgeFailure(seen, gpuIds);
    }
    if (!workload) {
      this.finish(gpuIds, this.untold(gpuIds));
      return undefined;
    }
    const { open, finished, uncounted } = workload;
    const isBusy = open > 0 || finished !== seen.finished;
    const busyUntil = isBusy ? this.now + QUIET_MS : seen.busyUntil;
    if (this.now >= busyUntil) {
      const isAll = uncounted === undefined;
      this.finish(
        gpuIds,
        isAll ? WORKED_OFF : notDrained(`Its requests could not all be counted: ${uncounted}.`),
      );
      return undefined;
    }
    this.tell(gpuIds, workload);
    return { busyUntil, finished, open, failures: 0 };
  }

  private judgeFailure(seen: Seen, gpuIds: readonly number[]): Seen | undefined {
    const failures = seen.failures + 1;
    if (failures < MAX_FAILURES) return { ...seen, failures };
    this.finish(gpuIds, notDrained(`Its requests could not be counted: ${this.lastFailure}.`));
    return undefined;
  }

  /** Nobody can tell; where the model serves on elsewhere, that takes what waits, and what is under way is finished. */
  private untold(gpuIds: readonly number[]): DrainOutcome {
    const { modelName, releasing } = this.unit;
    if (this.unit.staying().gpuIds.length > 0) return WORKED_OFF;
    if (gpuIds.some((gpuId) => releasing.get(gpuId)?.sleeping))
      return notDrained('It slept: requests that wait for a wake are not worked off.');
    return notDrained(
      this.runner.cannotDrain(modelName) ??
        `The server of ${modelName} does not say how many requests are open.`,
    );
  }

  private expiredWords(gpuId: number, { open, failures }: Seen): string {
    const over = this.whenOver(gpuId);
    if (failures > 0) return `Its requests could not be counted ${over}: ${this.lastFailure}.`;
    if (open === 0) return `Requests were still being finished ${over}.`;
    return `${open} request${open === 1 ? ' was' : 's were'} still open ${over}.`;
  }

  private whenOver(gpuId: number): string {
    return `when the ${inSeconds(this.limits.get(gpuId) ?? 0)} of the drain were over`;
  }

  private shortestMs(): number {
    return Math.min(...this.draining().map((gpuId) => this.leftMs([gpuId])));
  }

  /** `undefined`: there was no answer, or none that makes sense. */
  private async ask(
    gpuIds: readonly number[],
    limitMs: number,
    signal: AbortSignal,
  ): Promise<Workload | null | undefined> {
    const ms = Math.min(limitMs, this.services.config.health.probe_timeout_ms);
    try {
      return await within({ ms, signal }, (limit) =>
        this.runner.workload(this.unit.staying(), gpuIds, limit),
      );
    } catch (error) {
      signal.throwIfAborted();
      this.lastFailure = messageOf(error);
      const facts = { err: error, model_name: this.unit.modelName, gpu_ids: gpuIds };
      this.services.logger.debug(facts, 'What a backend still works on is unknown');
      return undefined;
    }
  }

  private tell(gpuIds: readonly number[], { open }: Workload): void {
    for (const gpuId of gpuIds) {
      this.unit.releasing.get(gpuId)?.tell(`waiting until requests are worked off: ${open} counted`);
    }
  }

  private finish(gpuIds: readonly number[], outcome: DrainOutcome): void {
    this.end(gpuIds, outcome);
    this.onEnd();
  }
}
