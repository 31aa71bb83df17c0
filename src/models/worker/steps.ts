import { DomainError, messageOf } from '../../common/errors.js';
import { Interruptible } from '../../common/interruptible.js';
import type { GpuRef } from '../../runners/deployment.js';
import type { Runner } from '../../runners/runner.js';
import type { RunnerContext } from '../../runners/runner-context.js';
import { GpusUnknownError } from '../deployment/errors.js';
import type { UnitState } from '../deployment/deployment-state.js';
import type { WorkerServices } from './worker-services.js';

/** Time, ms, a runner has to come back from a call that it was told to end. */
const STEP_GRACE_MS = 5000;

/** `wait`: for the turn of a start. `prove`: for memory to come back. The others are calls of the runner. */
export type StepKind = 'start' | 'recycle' | 'heal' | 'renew' | 'release' | 'sleep' | 'wait' | 'prove';

/** A call of the runner, or a wait for one, with a deadline, ms, and what follows from its end. */
export interface RunnerCall {
  readonly limitMs: number;
  readonly call: (signal: AbortSignal) => Promise<void>;
  readonly onSuccess: () => void | Promise<void>;
  /** Of a start that was interrupted, a final failure is told all the same; of other steps that were, none. */
  readonly onFailure: (error: unknown) => void | Promise<void>;
}

/**
 * The lane of one unit: it has one step at a time, and its runner is never called twice at once for it. Whoever runs a
 * step waits for its end; whoever has something more urgent interrupts it.
 */
export class Steps {
  private step: { readonly kind: StepKind; readonly work: Interruptible } | undefined;
  private count = 0;
  private calm = new AbortController();

  constructor(
    private readonly unit: UnitState,
    private readonly runner: Runner,
    private readonly services: WorkerServices,
  ) {}

  /** The step under way. */
  get current(): StepKind | undefined {
    return this.step?.kind;
  }

  /** The runner is at work on the unit: what is missing may be its doing. */
  get isActing(): boolean {
    return this.step !== undefined && this.step.kind !== 'wait' && this.step.kind !== 'prove';
  }

  /** Grows with every command and step: an observation that began under an older one says nothing. */
  get epoch(): number {
    return this.count;
  }

  /** Aborts with the next command or step. */
  get undisturbed(): AbortSignal {
    return this.calm.signal;
  }

  /** The world is about to change: what is being observed says nothing any more. */
  outdate(): void {
    this.count += 1;
    this.calm.abort(new Error('something else is wanted'));
    this.calm = new AbortController();
  }

  /** Has the step under way give up its turn. */
  interrupt(): void {
    this.outdate();
    this.step?.work.interrupt();
  }

  /** Runs a step to its end; one that was interrupted has not failed, unless its failure is final. */
  async run(kind: StepKind, { limitMs, call, onSuccess, onFailure }: RunnerCall): Promise<void> {
    const work = new Interruptible(limitMs, STEP_GRACE_MS);
    this.step = { kind, work };
    this.outdate();
    let failure: { readonly error: unknown } | undefined;
    try {
      await work.run(call);
    } catch (error) {
      failure = { error };
    } finally {
      this.step = undefined;
      this.outdate();
    }
    if (!failure) await onSuccess();
    else if (!work.isInterrupted || (kind === 'start' && isFinal(failure.error)))
      await onFailure(failure.error);
  }

  /**
   * @throws GpusUnknownError for a start: to let go of a model, a runner need not know the GPUs. Never is a start made on
   * whoever has the index of a GPU by now
   */
  async runnerContext(signal: AbortSignal, kind: 'start' | 'release'): Promise<RunnerContext> {
    let gpus: readonly GpuRef[] = [];
    try {
      gpus = await this.services.gpus.inventory();
    } catch (error) {
      if (kind === 'start')
        throw new GpusUnknownError(`The GPUs cannot be read: ${messageOf(error)}`, {}, { cause: error });
    }
    signal.throwIfAborted();
    if (kind === 'start') this.assertPresent();
    return {
      signal,
      gpus,
      wanted: () => this.services.states.wanted(this.runner.backend),
      onProgress: (progress) => {
        if (signal.aborted) return;
        for (const placement of this.unit.active()) {
          if (placement.status === 'STARTING') placement.tell(progress);
        }
      },
    };
  }

  private assertPresent(): void {
    const missing = this.unit.active().flatMap(({ held }) => held.missing);
    if (missing.length === 0) return;
    const uuids = missing.map(({ uuid }) => uuid).join(', ');
    throw new GpusUnknownError(
      `${this.unit.modelName} is for GPU ${uuids}, which the driver does not tell of: it is looked for again.`,
    );
  }
}

/** Found out before the interruption could cause it. */
function isFinal(error: unknown): boolean {
  return error instanceof DomainError && error.retry === 'never';
}
