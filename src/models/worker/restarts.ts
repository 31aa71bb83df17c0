import type { Clock } from '../../common/clock.js';
import { messageOf, retryPolicyOf } from '../../common/errors.js';
import type { Config } from '../../config/schema.js';
import { type Runner, ServerLostError } from '../../runners/runner.js';
import { Backoff } from './backoff.js';
import type { PlanInput } from './planner.js';

interface RestartsContext {
  readonly clock: Clock;
  readonly config: Pick<Config, 'liveness' | 'restart'>;
}

/** How often the servers of one deployment were started in vain, and how long what goes on may last. */
export class Restarts {
  private readonly backoff: Backoff;
  private notBeforeMs = 0;
  private waitDeadlineMs = 0;
  private silentSinceMs: number | undefined;
  private readonly runningSinceMs = new Map<number, number>();
  private lastFault = '';

  constructor(
    private readonly runner: Runner,
    private readonly context: RestartsContext,
  ) {
    this.backoff = new Backoff(context.config.restart);
    this.waitAnew();
  }

  /** What the plan has to keep to. */
  get limits(): Pick<PlanInput, 'startNotBefore' | 'exhausted' | 'waitDeadline' | 'silenceDeadline'> {
    return {
      startNotBefore: this.notBeforeMs,
      exhausted: this.backoff.exhausted,
      waitDeadline: this.waitDeadlineMs,
      silenceDeadline: (this.silentSinceMs ?? this.now) + this.silenceLimitMs,
    };
  }

  /** Time, ms, that a server may leave unanswered. */
  get silenceLimitMs(): number {
    return this.context.config.liveness.deadline_seconds * 1000;
  }

  /** A start was accepted: earlier failures count no more. */
  accepted(): void {
    this.backoff.reset();
    this.notBeforeMs = 0;
    this.waitAnew();
  }

  /** From now on, the backend has its whole time again. */
  waitAnew(): void {
    this.waitDeadlineMs = this.now + this.runner.startTimeoutMs;
  }

  /** Earlier failures count no more; the time they have to wait stays. */
  forgive(): void {
    this.backoff.reset();
  }

  isReady(gpuId: number): void {
    this.runningSinceMs.set(gpuId, this.now);
  }

  isSilent(): void {
    this.silentSinceMs ??= this.now;
  }

  hasAnswered(): void {
    this.silentSinceMs = undefined;
  }

  /**
   * First loss after a stable time: again at once. Soon after another: with growing delay, then never.
   * @param gpuIds those that were RUNNING
   */
  lost(fault: string, gpuIds: readonly number[]): void {
    const until = this.silentSinceMs ?? this.now;
    const servedMs = Math.max(0, ...gpuIds.map((id) => until - (this.runningSinceMs.get(id) ?? until)));
    if (gpuIds.length > 0 && servedMs >= this.context.config.restart.stable_after_seconds * 1000) {
      this.backoff.reset();
    }
    this.notBeforeMs = this.backoff.count === 0 ? this.now : this.now + this.backoff.delayMs;
    this.backoff.failed();
    this.lastFault = fault;
  }

  /** A start was in vain; says whether it is tried again. */
  failed(error: unknown): boolean {
    const retry = retryPolicyOf(error);
    const { delayMs } = this.backoff;
    if (retry === 'bounded') {
      this.backoff.failed();
      this.lastFault = messageOf(error);
    }
    if (retry === 'never' || (retry === 'bounded' && this.backoff.exhausted)) return false;
    this.notBeforeMs = this.now + delayMs;
    return true;
  }

  exhaustedError(): ServerLostError {
    return new ServerLostError(`The server died ${this.backoff.count} times in a row: ${this.lastFault}`);
  }

  private get now(): number {
    return this.context.clock.monotonicMs();
  }
}
