import { DeadlineError, inSeconds, within } from '../../common/deadline.js';
import { DomainError, messageOf } from '../../common/errors.js';
import type { Runner } from '../../runners/runner.js';
import {
  type SleepContext,
  SleepFailedError,
  type SleepLevel,
  SleepNotSupportedError,
} from '../../runners/sleep.js';
import type { Placement } from '../deployment/placement.js';
import type { UnitState } from '../deployment/deployment-state.js';
import type { Steps } from './steps.js';
import type { WorkerServices } from './worker-services.js';

/** Only what serves can fall asleep or wake up. */
export class PlacementNotRunningError extends DomainError {
  readonly code = 'PLACEMENT_NOT_RUNNING';
  readonly kind = 'conflict';
}

/** It did not fall asleep or wake up in time. */
export class SleepTimeoutError extends DomainError {
  readonly code = 'SLEEP_TIMEOUT';
  readonly kind = 'internal';
}

/** What is asked of a placement. */
export type SleepWish = { readonly kind: 'sleep'; readonly level: SleepLevel } | { readonly kind: 'wake' };

/**
 * The sleeps and wakes of one unit, one after another in the order of asking. None of them outlives its placement,
 * nor its last caller; one that a stop elsewhere has interrupted is done once more.
 */
export class Sleeps {
  private queue: Command[] = [];

  constructor(
    private readonly unit: UnitState,
    private readonly runner: Runner,
    private readonly steps: Steps,
    private readonly services: Pick<WorkerServices, 'clock' | 'logger' | 'slots'>,
    /** There is something to do. */
    private readonly onAsked: () => void,
  ) {}

  /**
   * Resolves when the backend has done it.
   * @param request id of the request, for the log
   * @throws SleepNotSupportedError, PlacementNotRunningError, SleepTimeoutError and what the runner throws
   */
  async ask(placement: Placement, wish: SleepWish, request?: string): Promise<void> {
    const limitMs = this.runner.sleepTimeoutMs;
    if (limitMs === null) throw new SleepNotSupportedError(this.runner.backend);
    if (!this.isServing(placement)) throw this.notRunning(placement);
    const command = this.commandFor(placement, wish, request);
    this.onAsked();
    command.callers += 1;
    try {
      await within({ ms: limitMs, late: () => this.late(command, limitMs) }, () => command.done);
    } finally {
      command.callers -= 1;
      if (command.callers === 0) this.end(command);
    }
  }

  /** Performs the next one, if there is any, and says whether it did. */
  async perform(): Promise<boolean> {
    this.forget();
    const [command] = this.queue;
    const limitMs = this.runner.sleepTimeoutMs;
    if (!command || limitMs === null) return false;
    const { placement } = command;
    await this.steps.run('sleep', {
      limitMs,
      call: (signal) => this.act(command, AbortSignal.any([signal, command.signal])),
      onSuccess: () => {
        this.succeeded(command);
      },
      onFailure: (error) => {
        if (command.signal.aborted) return; // nobody waits for it
        this.end(command, error instanceof DeadlineError ? this.late(command, limitMs) : error);
      },
    });
    if (this.isServing(placement)) placement.tell(undefined);
    return true;
  }

  /** Those whose placement does not serve any more, or is to be stopped, come to nothing. */
  forget(): void {
    for (const command of [...this.queue]) {
      const { placement } = command;
      if (this.isServing(placement)) continue;
      this.end(command, this.notRunning(placement));
      if (placement.status === 'RUNNING') placement.tell(undefined);
    }
  }

  /** None is performed any more. */
  close(reason: Error): void {
    for (const command of [...this.queue]) this.end(command, reason);
  }

  /** Who asks for the same as the last before them shares it. */
  private commandFor(placement: Placement, wish: SleepWish, request: string | undefined): Command {
    const last = this.queue.findLast((each) => each.placement === placement);
    if (last && sameWish(last.wish, wish)) return last;
    const command = new Command(placement, wish, request);
    this.queue.push(command);
    return command;
  }

  private async act({ placement, wish }: Command, signal: AbortSignal): Promise<void> {
    const { modelName } = this.unit;
    const { gpuId } = placement;
    const onProgress = (words: string): void => {
      if (!signal.aborted) placement.tell(words);
    };
    // What gives or takes memory while another server measures what is free spoils its start.
    const changes = placement.sleeping !== (wish.kind === 'sleep');
    const slot =
      changes && this.runner.measuresFreeMemory(modelName)
        ? await this.services.slots.take(
            { modelName, unit: this.unit.name, gpuIds: placement.gpuIds, doing: DOING[wish.kind] },
            signal,
            onProgress,
          )
        : undefined;
    const context: SleepContext = { signal, onProgress };
    const deployment = this.unit.toServe();
    try {
      if (wish.kind === 'sleep') await this.runner.sleep(deployment, gpuId, wish.level, context);
      else await this.runner.wake(deployment, gpuId, context);
    } catch (error) {
      signal.throwIfAborted();
      throw error instanceof DomainError ? error : this.failed(placement, wish, error);
    } finally {
      slot?.release();
    }
  }

  private succeeded(command: Command): void {
    const { placement, wish, request } = command;
    if (this.isServing(placement)) {
      placement.sleeps(wish.kind === 'sleep');
      placement.updatedAt = this.services.clock.now();
      this.unit.deployment.updatedAt = placement.updatedAt;
      this.services.logger.info(
        { event: wish.kind, model_name: this.unit.modelName, gpu_id: placement.index, request },
        `${this.nameOf(placement)} ${wish.kind === 'sleep' ? 'sleeps' : 'is awake'}`,
      );
    }
    this.end(command);
  }

  private end(command: Command, error?: unknown): void {
    this.queue = this.queue.filter((each) => each !== command);
    command.end(error);
  }

  private isServing(placement: Placement): boolean {
    const { serving, releasing } = this.unit;
    const { gpuId, status } = placement;
    return serving.get(gpuId) === placement && !releasing.has(gpuId) && status === 'RUNNING';
  }

  private nameOf({ index }: Placement): string {
    return `${this.unit.modelName} on GPU ${index}`;
  }

  private notRunning(placement: Placement): PlacementNotRunningError {
    const isLeaving = [...this.unit.releasing.values()].includes(placement);
    return new PlacementNotRunningError(
      `${this.nameOf(placement)} is ${isLeaving ? 'being stopped' : placement.status}: only a placement that is RUNNING can sleep and wake.`,
    );
  }

  private failed(placement: Placement, { kind }: SleepWish, error: unknown): SleepFailedError {
    const words = `${this.nameOf(placement)} did not ${VERB[kind]}: ${messageOf(error)}.`;
    return new SleepFailedError(words, {}, { cause: error });
  }

  private late({ placement, wish }: Command, limitMs: number): SleepTimeoutError {
    const { backend } = this.runner;
    const last = placement.progress === undefined ? '' : ` It was last: ${placement.progress}.`;
    return new SleepTimeoutError(
      `${this.nameOf(placement)} did not ${VERB[wish.kind]} within ${inSeconds(limitMs)} (runners.${backend}: sleep_timeout_seconds).${last} Its status tells whether it sleeps; ask again.`,
    );
  }
}

const DOING = { sleep: 'is falling asleep', wake: 'is waking up' } as const;
const VERB = { sleep: 'fall asleep', wake: 'wake up' } as const;

/** A sleep or a wake, for all who wait for it. */
class Command {
  callers = 0;
  readonly done: Promise<void>;
  private readonly controller = new AbortController();
  private settle!: { readonly resolve: () => void; readonly reject: (error: unknown) => void };

  constructor(
    readonly placement: Placement,
    readonly wish: SleepWish,
    readonly request: string | undefined,
  ) {
    this.done = new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
    });
    this.done.catch(() => undefined); // who waits hears of it
  }

  /** Aborts when it has come to an end. */
  get signal(): AbortSignal {
    return this.controller.signal;
  }

  end(error?: unknown): void {
    if (error === undefined) this.settle.resolve();
    else this.settle.reject(error);
    this.controller.abort();
  }
}

function sameWish(one: SleepWish, other: SleepWish): boolean {
  return one.kind === other.kind && (one.kind === 'wake' || one.level === (other as typeof one).level);
}
