import { within } from '../../common/deadline.js';
import type { Trouble } from '../../runners/progress.js';
import type { Runner } from '../../runners/runner.js';
import type { UnitState } from '../deployment/deployment-state.js';
import type { Steps } from './steps.js';
import type { WorkerServices } from './worker-services.js';

/** One look, ms: the driver may have to set up every GPU first. */
const LOOK_MS = 30_000;
/** After a first look that finds them lost, ms until the next, which decides. */
const CONFIRM_MS = 5000;
/** After an end that failed, ms until the next try. */
const RETRY_MS = 30_000;

/**
 * Whether the server of a unit reaches its GPUs, by a question asked inside it now and then. Twice in a row that it does not
 * is believed: it is ended and started anew, a few times, until it is found to reach them again.
 */
export class GpuSightWatch {
  private looksLost = 0;
  private words = '';
  private run: string | undefined;
  private lookNotBefore = 0;
  private healNotBefore = 0;
  private isLooking = false;
  /** Times it was ended, or replaced when it was to be, for this since it was found to reach them. */
  tries = 0;

  constructor(
    private readonly unit: UnitState,
    private readonly runner: Runner,
    private readonly steps: Steps,
    private readonly services: Pick<WorkerServices, 'clock' | 'config' | 'logger'>,
    private readonly onChange: () => void,
  ) {}

  /** What speaks against it. */
  get trouble(): Trouble | undefined {
    if (this.looksLost < 2) return undefined;
    return { kind: 'blind', words: `its server reaches its GPUs no more: ${this.words}`, run: this.run };
  }

  /** It is to be ended now. */
  get isDue(): boolean {
    return this.trouble !== undefined && !this.hasGivenUp && this.now >= this.healNotBefore;
  }

  get hasGivenUp(): boolean {
    return this.tries >= this.services.config.restart.max_attempts;
  }

  /** Looks, if it is time to. Never waits. */
  look(): void {
    const intervalMs = this.services.config.liveness.gpu_check_seconds * 1000;
    if (intervalMs === 0 || this.isLooking || this.now < this.lookNotBefore) return;
    this.lookNotBefore = this.now + intervalMs;
    this.isLooking = true;
    void this.ask(intervalMs)
      .catch((error: unknown) => {
        const facts = { err: error, model_name: this.unit.modelName };
        this.services.logger.debug(facts, 'Whether a server reaches its GPUs is unknown');
      })
      .finally(() => {
        this.isLooking = false;
      });
  }

  /** It was ended, for this unit or for another that it serves: a new one makes no difference to both. */
  healed(): void {
    this.tries += 1;
  }

  notHealed(): void {
    this.tries += 1;
    this.healNotBefore = this.now + RETRY_MS;
  }

  /** A start was accepted: earlier tries count no more. */
  reset(): void {
    this.tries = 0;
    this.forget();
  }

  /** It does not serve, or is another by now. */
  forget(): void {
    this.looksLost = 0;
  }

  private get now(): number {
    return this.services.clock.monotonicMs();
  }

  private async ask(intervalMs: number): Promise<void> {
    const confirmMs = Math.min(CONFIRM_MS, intervalMs);
    const { epoch } = this.steps;
    const limit = { ms: LOOK_MS, signal: this.steps.undisturbed };
    const deployment = this.unit.toServe();
    const sight = await within(limit, (signal) => this.runner.gpuSight(deployment, confirmMs / 2, signal));
    if (epoch !== this.steps.epoch || sight === 'unknown') return;
    const before = this.trouble;
    if (sight === 'there') {
      this.looksLost = 0;
      this.tries = 0;
    } else {
      this.looksLost = sight.run === this.run ? this.looksLost + 1 : 1;
      this.run = sight.run;
      this.words = sight.lost;
      if (this.looksLost === 1) this.lookNotBefore = this.now + confirmMs;
    }
    if (this.isDue || before !== this.trouble) this.onChange();
  }
}
