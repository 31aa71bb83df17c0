import { DeadlineError } from '../../common/deadline.js';
import { messageOf } from '../../common/errors.js';
import type { Logger } from '../../common/logging/logger.js';
import {
  BackendTimeoutError,
  type PlacementObservation,
  type Runner,
  type RunnerContext,
  ServerLostError,
} from '../../runners/runner.js';
import type { DeploymentRecords } from './deployment-records.js';
import type { DeploymentState } from '../deployment/deployment-state.js';
import type { Placement } from '../deployment/placement.js';
import type { PlacementJournal } from '../deployment/placement-journal.js';
import type { Restarts } from './restarts.js';
import type { StartSlot, StartSlots } from './start-slots.js';
import type { RunnerCall } from './steps.js';
import { StartTurn } from './start-turn.js';

/** Longest timer there is: the wait for others' starts ends with theirs, each of which has its own deadline. */
const NO_LIMIT_MS = 2 ** 31 - 1;

interface StartsContext {
  readonly logger: Logger;
  readonly journal: PlacementJournal;
  readonly slots: StartSlots;
}

/** What starts need of the deployment's worker. */
interface StartsHost {
  readonly runStep: (kind: 'start' | 'wait', call: RunnerCall) => Promise<void>;
  readonly look: () => Promise<ReadonlyMap<number, PlacementObservation>>;
  readonly runnerContext: (signal: AbortSignal, kind: 'start' | 'release') => Promise<RunnerContext>;
  /** Grows with every command and step. */
  readonly epoch: () => number;
  readonly isClosed: () => boolean;
  /** There is more to do. */
  readonly again: () => void;
  readonly reportDefect: (error: unknown) => void;
}

/** How the servers of one deployment are started, and what becomes of a start that is in vain. */
export class Starts {
  private readonly turn: StartTurn;
  /** GPUs on which the model serves by the runner's word alone: nobody has seen it ready since. */
  private claimed: readonly number[] = [];

  constructor(
    private readonly state: DeploymentState,
    private readonly runner: Runner,
    private readonly records: DeploymentRecords,
    private readonly restarts: Restarts,
    private readonly context: StartsContext,
    private readonly host: StartsHost,
  ) {
    this.turn = new StartTurn(state, runner, context.slots);
  }

  /** What the backend says of all that is to serve. */
  observed(observations: readonly PlacementObservation[]): void {
    this.turn.observed(observations);
  }

  isReady(gpuId: number): void {
    this.claimed = this.claimed.filter((each) => each !== gpuId);
  }

  /** The runner's word counts no more. */
  forgetClaims(): void {
    this.claimed = [];
  }

  async start(absent: readonly number[]): Promise<void> {
    const broken = absent.filter((gpuId) => this.claimed.includes(gpuId));
    this.claimed = [];
    if (broken.length > 0) {
      const error = new ServerLostError('The backend said that it is done, yet does not serve the model.');
      await this.failed(this.starting(broken), error);
      return;
    }
    const slot = this.turn.isNeeded ? await this.slot(absent) : undefined;
    if (this.turn.isNeeded && !slot) return;
    try {
      await this.startOn(absent);
    } finally {
      slot?.release();
    }
  }

  /** Ends the server by force if it still does not answer; it is started anew then. */
  async recycle(): Promise<void> {
    const wanted = this.state.wanted();
    const seconds = this.restarts.silenceLimitMs / 1000;
    const fault = `its server did not answer for ${seconds} s (liveness.deadline_seconds)`;
    let wasEnded = false;
    await this.host.runStep('start', {
      limitMs: this.runner.startTimeoutMs,
      call: async (signal) => {
        wasEnded = await this.runner.recycle(wanted, await this.host.runnerContext(signal, 'release'));
      },
      onSuccess: () => {
        if (wasEnded) this.recycled(fault);
      },
      onFailure: (error) => {
        this.context.logger.error(
          { err: error, model_name: this.state.modelName },
          'A server that does not answer could not be ended and is tried again',
        );
      },
    });
    this.restarts.hasAnswered(); // either way it has its deadline once more
  }

  /** It was tried often enough, or the backend has had its time. */
  async giveUp(cause: 'exhausted' | 'late', gpuIds: readonly number[]): Promise<void> {
    const error = cause === 'exhausted' ? this.restarts.exhaustedError() : this.lateError();
    // What serves on has its own tries.
    if (cause === 'exhausted') this.restarts.forgive();
    await this.fail(this.starting(gpuIds), error);
  }

  /** `undefined`: something else was wanted meanwhile, and the next pass sees what. */
  private async slot(absent: readonly number[]): Promise<StartSlot | undefined> {
    let slot: StartSlot | undefined;
    let epoch = this.host.epoch();
    await this.host.runStep('wait', {
      limitMs: NO_LIMIT_MS,
      gpuIds: [],
      call: async (signal) => {
        epoch = this.host.epoch();
        slot = await this.turn.take(this.starting(absent), signal);
      },
      onSuccess: () => undefined,
      onFailure: this.host.reportDefect,
    });
    const isCurrent = !this.host.isClosed() && this.host.epoch() === epoch + 1; // the end of the step is one
    if (isCurrent) return slot;
    slot?.release();
    return undefined;
  }

  private async startOn(gpuIds: readonly number[]): Promise<void> {
    const wanted = this.state.wanted();
    const placements = this.starting(gpuIds);
    this.restarts.waitAnew();
    await this.host.runStep('start', {
      limitMs: this.runner.startTimeoutMs,
      gpuIds,
      call: async (signal) =>
        this.runner.start(wanted, { ...(await this.host.runnerContext(signal, 'start')), gpuIds }),
      onSuccess: () => {
        this.claimed = gpuIds;
      },
      onFailure: (error) =>
        this.failed(placements, error instanceof DeadlineError ? this.lateError() : error),
    });
  }

  private recycled(fault: string): void {
    this.claimed = [];
    const running = this.state.active().filter(({ status }) => status === 'RUNNING');
    this.restarts.lost(
      fault,
      running.map(({ gpuId }) => gpuId),
    );
    for (const placement of running) {
      this.context.journal.record(this.state, placement, 'lost', `${fault}: it is started anew`);
    }
  }

  private async failed(placements: readonly Placement[], error: unknown): Promise<void> {
    if (!this.restarts.failed(error)) {
      await this.fail(await this.notReady(placements), error);
      return;
    }
    for (const placement of placements) {
      if (placement.status === 'STARTING') placement.progress = `trying again after: ${messageOf(error)}`;
    }
    this.context.logger.warn(
      { err: error, model_name: this.state.modelName },
      'A start failed and is tried again',
    );
    this.host.again();
  }

  /** What fails on one GPU may serve on another, and nobody has looked since. */
  private async notReady(placements: readonly Placement[]): Promise<readonly Placement[]> {
    if (placements.length < 2) return placements;
    const observations = await this.host.look();
    return placements.filter(({ gpuId }) => observations.get(gpuId)?.phase !== 'ready');
  }

  private async fail(placements: readonly Placement[], error: unknown): Promise<void> {
    this.host.again();
    await this.records.failed(placements, error);
  }

  private starting(gpuIds: readonly number[]): Placement[] {
    return gpuIds
      .map((gpuId) => this.state.serving.get(gpuId))
      .filter((placement) => placement !== undefined)
      .filter((placement) => placement.status === 'STARTING');
  }

  private lateError(): BackendTimeoutError {
    return new BackendTimeoutError(
      `${this.state.modelName} was not ready within ${this.runner.startTimeoutMs / 1000} s.`,
    );
  }
}
