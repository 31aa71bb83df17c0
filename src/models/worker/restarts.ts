import { messageOf, retryPolicyOf } from '../../common/errors.js';
import { ServerLostError } from '../../runners/errors.js';
import type { Runner } from '../../runners/runner.js';
import type { UnitState } from '../deployment/deployment-state.js';
import { Backoff } from './backoff.js';
import type { PlanInput } from './planner.js';
import type { Load, Wish } from './server-loads.js';
import type { WorkerServices } from './worker-services.js';

/**
 * How often the server of one unit was brought up in vain, and how long that which goes on may last. The death of a server
 * that units share is charged to those whose load was in flight; where none was, to all that it served.
 */
export class Restarts {
  private readonly backoff: Backoff;
  private notBeforeMs = 0;
  private waitDeadlineMs = 0;
  private silentSinceMs: number | undefined;
  private readySeenMs = 0;
  private readonly runningSinceMs = new Map<number, number>();
  private lastFault = '';
  /** Its server has died with a load of this unit in flight, and the unit has not served since. */
  private isSuspect = false;

  constructor(
    private readonly unit: UnitState,
    private readonly runner: Runner,
    private readonly services: WorkerServices,
  ) {
    this.backoff = new Backoff(services.config.restart, services.clock);
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
    return this.services.config.liveness.deadline_seconds * 1000;
  }

  /** A start was accepted: earlier failures count no more. */
  accepted(): void {
    this.isSuspect = false;
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

  /**
   * Begins a load of the unit. Once its server has died of one, the next is made alone, so that no other is taken for the
   * cause, or charged with it.
   * @throws the signal's reason
   */
  async beginLoad(signal: AbortSignal, tell: (words: string | undefined) => void): Promise<Load> {
    const { loads } = this.services;
    return this.isSuspect ? loads.beginAlone(this.wish, signal, tell) : loads.begin(this.wish);
  }

  /** The server served by a look that began at `sinceMs`, monotonic. */
  wasReady(sinceMs: number): void {
    this.readySeenMs = sinceMs;
  }

  /** A placement serves from now on. */
  isRunning(gpuId: number): void {
    this.isSuspect = false;
    this.runningSinceMs.set(gpuId, this.now);
  }

  /** Its server has left more unanswered than it may. */
  get isSilentTooLong(): boolean {
    return this.silentSinceMs !== undefined && this.now >= this.limits.silenceDeadline;
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
    if (gpuIds.length > 0 && servedMs >= this.services.config.restart.stable_after_seconds * 1000) {
      this.backoff.reset();
    }
    this.notBeforeMs = this.now;
    if (this.isInnocent()) return;
    if (this.backoff.count > 0) this.notBeforeMs += this.backoff.delayMs;
    this.backoff.failed();
    this.lastFault = fault;
  }

  /** A start was in vain; says whether it is tried again. */
  failed(error: unknown): boolean {
    const retry = retryPolicyOf(error);
    const { delayMs } = this.backoff;
    if (retry === 'bounded') {
      this.isSuspect = true;
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

  /** This unit is about to end its server, for `reason`. To be told afterwards whether it has ended. */
  beginEnd(reason: string): (hasEnded: boolean) => void {
    return this.services.loads.beginEnd(this.wish, reason);
  }

  /** Why this service has ended the server; to be asked before `lost`, which notes that the unit knows of it. */
  get purposeOfEnd(): string | undefined {
    return this.services.loads.purposeOf(this.wish, this.readySeenMs);
  }

  /** To be asked once of each death: the server died while another model was loading, and this unit was not. */
  isInnocent(): boolean {
    return this.services.loads.diedOfAnother(this.wish, this.readySeenMs);
  }

  /** This unit, and the server that it is on. */
  private get wish(): Wish {
    const { modelName, name: unit } = this.unit;
    const [gpuId = 0] = [...this.unit.serving.keys(), ...this.unit.releasing.keys()];
    return { server: this.runner.serverNameOf(modelName, gpuId) ?? unit, unit };
  }

  private get now(): number {
    return this.services.clock.monotonicMs();
  }
}
