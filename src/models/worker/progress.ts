import { within } from '../../common/deadline.js';
import type { ModelLiveness, ProgressReading, Trouble, TroubleKind } from '../../runners/progress.js';
import type { Runner } from '../../runners/runner.js';
import type { UnitState } from '../deployment/deployment-state.js';
import { GpuSightWatch } from './gpu-sight.js';
import {
  isBetter,
  type ProgressEvidence,
  type ProgressLimits,
  troubleIn,
  withReading,
} from './progress-evidence.js';
import type { Steps } from './steps.js';
import type { WorkerServices } from './worker-services.js';

/** Looks within the time that a model has to get something done; no further apart than `LONGEST_INTERVAL_MS`. */
const LOOKS = 10;
const LONGEST_INTERVAL_MS = 10_000;
/** What is degraded for so long, or for its whole time if that is shorter, stays so: it is healed. */
const STAYS_MS = 30_000;
/** A canary is sent to whom nobody asked anything for this share of the time, and no more often. */
const CANARY_SHARE = 0.5;

/**
 * Whether a unit that serves by its backend's word does get its requests done: read off the backend's own counters, now and
 * then, while nothing else is done with the unit. What does not is `degraded`, and is healed where that stays: a few
 * times, until something succeeds again. Nothing waits for a look.
 */
export class Progress {
  private evidence: ProgressEvidence | undefined;
  private trouble: Trouble | undefined;
  private degradedMs = 0;
  private lookNotBefore = 0;
  private readonly sight: GpuSightWatch;
  private isLooking = false;
  /** Times it was healed since something succeeded last. */
  private tries = 0;
  private canaryNotBefore = 0;
  /** Of this service's own requests since the evidence began; they are added to what the backend counts. */
  private canaries = { open: 0, done: 0, succeeded: 0, failed: 0 };

  constructor(
    private readonly unit: UnitState,
    private readonly runner: Runner,
    private readonly steps: Steps,
    private readonly services: Pick<WorkerServices, 'clock' | 'config' | 'logger' | 'journal'>,
    /** It is to be healed. */
    private readonly onStuck: () => void,
  ) {
    this.sight = new GpuSightWatch(unit, runner, steps, services, () => {
      this.sightChanged();
    });
  }

  /** What is to be healed now, if anything is. What could not be brought back is not ended for it. */
  get stuck(): Trouble | undefined {
    if (!this.trouble || !this.isCalm || !this.unit.deployment.inCatalog) return undefined;
    if (this.trouble.kind === 'blind') return this.sight.isDue ? this.trouble : undefined;
    if (this.hasGivenUp) return undefined;
    if (this.trouble.kind === 'stalled' && this.isPatient) return undefined;
    const { progressMs, stallMs } = this.limits;
    const limitMs = this.trouble.kind === 'stalled' ? stallMs : progressMs;
    const stays = this.now - this.degradedMs >= Math.min(limitMs, STAYS_MS);
    // Of what nobody has asked again, nobody knows whether it still fails.
    const isFresh =
      this.trouble.kind === 'stalled' || (this.evidence?.failures?.lastMs ?? 0) > this.degradedMs;
    return stays && isFresh ? this.trouble : undefined;
  }

  /** Looks, if it is time to and nothing else is done with the unit. Never waits. */
  look(): void {
    if (!this.isServing) this.forget();
    if (!this.isCalm) return;
    this.sight.look();
    if (this.isLooking || this.now < this.lookNotBefore) return;
    const { progressMs, stallMs } = this.limits;
    if (progressMs === 0) return;
    this.lookNotBefore = this.now + Math.min(Math.min(progressMs, stallMs) / LOOKS, LONGEST_INTERVAL_MS);
    this.isLooking = true;
    void this.read()
      .catch((error: unknown) => {
        const facts = { err: error, model_name: this.unit.modelName };
        this.services.logger.debug(facts, 'What a backend counts of its requests is unknown');
      })
      .finally(() => {
        this.isLooking = false;
      });
  }

  /** It was ended, and begins anew. */
  healed(kind: TroubleKind): void {
    if (kind === 'blind') this.sight.healed();
    else this.tries += 1;
    this.forget();
  }

  /** Its server was replaced before it could be ended: what is known is of none that is there. */
  begunAnew(kind: TroubleKind): void {
    if (kind === 'blind') this.sight.healed();
    this.forget();
  }

  /** It could not be ended; it is tried again when it has stayed so for as long again. */
  notHealed(kind: TroubleKind): void {
    if (kind === 'blind') this.sight.notHealed();
    else this.tries += 1;
    this.degradedMs = this.now;
  }

  /** A start was accepted: earlier tries count no more. */
  reset(): void {
    this.tries = 0;
    this.sight.reset();
    this.forget();
  }

  private get now(): number {
    return this.services.clock.monotonicMs();
  }

  private get isServing(): boolean {
    const active = this.unit.active();
    return active.length > 0 && active.every(({ status, sleeping }) => status === 'RUNNING' && !sleeping);
  }

  /** It serves, and nobody wants anything else of it. */
  private get isCalm(): boolean {
    return this.isServing && this.unit.releasing.size === 0 && this.steps.current === undefined;
  }

  private get hasGivenUp(): boolean {
    return this.tries >= this.services.config.restart.max_attempts;
  }

  private get liveness(): ModelLiveness {
    return this.runner.livenessOf(this.unit.modelName);
  }

  private get isPatient(): boolean {
    const { isPatient = false, deadlineSeconds } = this.liveness;
    return isPatient && deadlineSeconds === undefined;
  }

  private get limits(): ProgressLimits {
    const { progressSeconds = this.services.config.liveness.progress_seconds, deadlineSeconds } =
      this.liveness;
    return { progressMs: progressSeconds * 1000, stallMs: (deadlineSeconds ?? progressSeconds) * 1000 };
  }

  private async read(): Promise<void> {
    const deployment = this.unit.toServe();
    const limit = { ms: this.services.config.health.probe_timeout_ms, signal: this.steps.undisturbed };
    const { epoch } = this.steps;
    const counted = await within(limit, (signal) => this.runner.progress(deployment, signal));
    if (!counted || epoch !== this.steps.epoch || !this.isCalm) return;
    this.note(this.withCanaries(counted));
    this.sendCanary();
    if (this.stuck) this.onStuck();
  }

  private note(reading: ProgressReading): void {
    const { evidence: before, limits, now } = this;
    const evidence = withReading(before, reading, limits, now);
    this.evidence = evidence;
    if (before && isBetter(before, evidence)) this.tries = 0;
    const trouble = this.sight.trouble ?? troubleIn(evidence, limits, now);
    if (trouble && !this.trouble) this.degradedMs = now;
    this.tell(trouble);
  }

  private sightChanged(): void {
    const { evidence, limits, now } = this;
    this.tell(this.sight.trouble ?? (evidence && troubleIn(evidence, limits, now)));
    if (this.stuck) this.onStuck();
  }

  private tell(trouble: Trouble | undefined): void {
    const before = this.trouble;
    this.trouble = trouble;
    if (!before && !trouble) return;
    for (const placement of this.unit.active()) placement.degrade(trouble && this.inWords(trouble));
    if (before?.kind === trouble?.kind) return;
    const { modelName: model_name, name } = this.unit;
    const facts = { event: 'degraded', model_name, unit: name, reason: trouble?.words ?? null };
    if (trouble) this.services.logger.warn(facts, `${model_name} is degraded: ${this.inWords(trouble)}`);
    else this.services.logger.info(facts, `${model_name} is not degraded any more`);
    this.services.journal.touched();
  }

  private inWords({ kind, words }: Trouble): string {
    if (!this.unit.deployment.inCatalog)
      return `${words}; left as it is, as the configuration does not have the model any more`;
    const isBlind = kind === 'blind';
    const tries = isBlind ? this.sight.tries : this.tries;
    const hasGivenUp = isBlind ? this.sight.hasGivenUp : this.hasGivenUp;
    if (tries === 0) return words;
    const times = tries === 1 ? 'once' : `${tries} times`;
    return `${words}; started anew ${times} in vain${hasGivenUp ? ', and left as it is' : ''}`;
  }

  /** At most one at a time, and only where nothing was asked. */
  private sendCanary(): void {
    const { evidence, now, limits } = this;
    const restMs = limits.progressMs * CANARY_SHARE;
    if (!evidence || evidence.last.open > 0 || now < this.canaryNotBefore || now - evidence.movedMs < restMs)
      return;
    const canary = this.runner.canaryOf(this.unit.toServe());
    if (!canary) return;
    this.canaryNotBefore = now + restMs;
    const { canaries } = this;
    canaries.open = 1;
    // Long enough to be healed, should it be what gets no answer.
    const limit = { ms: limits.stallMs * 2 + STAYS_MS, signal: this.steps.undisturbed };
    void within(limit, canary)
      .then((answer) => {
        canaries.done += 1;
        if (answer === 'succeeded') canaries.succeeded += 1;
        if (answer === 'failed') canaries.failed += 1;
      })
      .catch(() => undefined) // it was not answered: what is open for too long tells that
      .finally(() => {
        canaries.open = 0;
      });
  }

  private withCanaries(counted: ProgressReading): ProgressReading {
    const { open, done, succeeded, failed } = this.canaries;
    return {
      ...counted,
      open: counted.open + open,
      done: typeof counted.done === 'number' ? counted.done + done : `${counted.done} ${done}`,
      succeeded: counted.succeeded + succeeded,
      failed: counted.failed + failed,
    };
  }

  private forget(): void {
    this.sight.forget();
    this.evidence = undefined;
    this.canaries = { open: 0, done: 0, succeeded: 0, failed: 0 };
    this.tell(undefined);
  }
}
