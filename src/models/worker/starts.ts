import { DeadlineError } from '../../common/deadline.js';
import { DomainError, messageOf, retryPolicyOf } from '../../common/errors.js';
import { BackendTimeoutError, ServerLostError } from '../../runners/errors.js';
import type { PlacementObservation } from '../../runners/observation.js';
import type { Runner } from '../../runners/runner.js';
import { ModelNotInCatalogError } from '../deployment/errors.js';
import type { Placement } from '../deployment/placement.js';
import type { UnitState } from '../deployment/deployment-state.js';
import { renewedOptions } from '../deployment/known-options.js';
import { giveUpCordoned } from './cordoned.js';
import type { DeploymentRecords } from './deployment-records.js';
import type { Restarts } from './restarts.js';
import type { Load, LoadOutcome } from './server-loads.js';
import { StartTurn } from './start-turn.js';
import type { Steps } from './steps.js';
import type { WorkerServices } from './worker-services.js';

/** The wait for others' starts ends with theirs, each of which has its own deadline. */
const NO_LIMIT_MS = Infinity;

/** How the server of one unit is started, and what becomes of a start that is in vain. */
export class Starts {
  private readonly turn: StartTurn;
  /** Why something is missing, by the last look. */
  private absence: string | undefined;

  constructor(
    private readonly unit: UnitState,
    private readonly runner: Runner,
    private readonly records: DeploymentRecords,
    private readonly restarts: Restarts,
    private readonly steps: Steps,
    private readonly services: WorkerServices,
  ) {
    this.turn = new StartTurn(unit, runner, services.slots);
  }

  /** What the backend says of all that is to serve. */
  observed(observations: readonly PlacementObservation[]): void {
    this.absence = observations.find(({ phase }) => phase === 'absent')?.reason;
    this.turn.observed(observations);
  }

  /** The end of what an interrupted start has left was tried: others need not wait for it any longer. */
  endWasTried(): void {
    this.turn.giveBack();
  }

  close(): void {
    this.turn.giveBack();
  }

  async start(absent: readonly number[]): Promise<void> {
    const placements = this.starting(absent);
    if (!this.unit.deployment.inCatalog) {
      await this.records.failed(placements, this.notInCatalogError());
      return;
    }
    this.renewOptions();
    if (await giveUpCordoned(this.unit, placements, this.records, this.services, this.absence)) return;
    const broken = placements.filter(({ state }) => state.kind === 'starting' && state.isStarted);
    if (broken.length > 0) {
      await this.brokeItsWord(broken);
      return;
    }
    const load = await this.load(placements);
    if (!load) return;
    await this.perform(placements, load);
  }

  /** It was tried often enough, or the backend has had its time. */
  async giveUp(cause: 'exhausted' | 'late', gpuIds: readonly number[]): Promise<void> {
    const error = cause === 'exhausted' ? this.restarts.exhaustedError() : this.lateError();
    // What serves on has its own tries.
    if (cause === 'exhausted') this.restarts.forgive();
    await this.records.failed(this.starting(gpuIds), error);
  }

  /** Options that the configuration does not take any more end with the last that serves with them. */
  private renewOptions(): void {
    const { deployment, modelName } = this.unit;
    if (deployment.active().some(({ status }) => status === 'RUNNING')) return;
    const options = renewedOptions(this.runner, modelName, deployment.options);
    if (!options) return;
    this.services.logger.warn(
      { model_name: modelName, before: deployment.options, now: options },
      'The configuration no longer takes the options of this model: it is launched with what it takes of them, and the defaults',
    );
    deployment.options = options;
    this.records.note();
  }

  /** Waits for the turn. `undefined`: something else is wanted meanwhile, and the next pass sees what. */
  private async load(placements: readonly Placement[]): Promise<Load | undefined> {
    let load: Load | undefined;
    const tell = (words: string | undefined): void => {
      for (const placement of placements) placement.tell(words);
    };
    const wait = async (signal: AbortSignal): Promise<void> => {
      await this.untilStartable(signal, tell);
      await this.turn.take(placements, signal);
      load = await this.restarts.beginLoad(signal, tell);
    };
    let epoch = this.steps.epoch;
    await this.steps.run('wait', {
      limitMs: NO_LIMIT_MS,
      call: (signal) => {
        epoch = this.steps.epoch;
        return wait(signal);
      },
      onSuccess: () => undefined,
      onFailure: (error) => {
        if (!(error instanceof DomainError)) throw error;
        return this.failed(placements, error);
      },
    });
    if (this.steps.epoch === epoch + 1) return load; // the end of the wait is one
    load?.end('left');
    this.turn.ended();
    return undefined;
  }

  private async untilStartable(
    signal: AbortSignal,
    tell: (words: string | undefined) => void,
  ): Promise<void> {
    const told = { isWaiting: false };
    await this.runner.untilStartable(this.unit.wanted(), {
      signal,
      wanted: () => this.services.states.wanted(this.runner.backend),
      tell: (words) => {
        told.isWaiting = true;
        tell(words);
      },
    });
    if (told.isWaiting) tell(undefined);
  }

  private async perform(placements: readonly Placement[], load: Load): Promise<void> {
    this.restarts.waitAnew();
    for (const placement of placements) placement.history.started();
    let outcome: LoadOutcome = 'left';
    try {
      await this.steps.run('start', {
        limitMs: this.runner.startTimeoutMs,
        call: async (signal) => {
          const context = await this.steps.runnerContext(signal, 'start');
          // The look at the GPUs may have shown that some are gone.
          const wanted = this.unit.wanted();
          if (wanted.gpuIds.length > 0) await this.runner.start(wanted, context);
        },
        onSuccess: () => {
          outcome = 'through';
          for (const placement of placements) placement.wasStarted();
        },
        onFailure: (error) => {
          // Seen to serve before its start had ended: the next look tells that it is lost, and counts it.
          if (placements.every(({ status }) => status !== 'STARTING')) return;
          outcome = retryPolicyOf(error) === 'never' ? 'through' : 'broken';
          return this.failed(placements, error instanceof DeadlineError ? this.lateError() : error);
        },
      });
    } finally {
      load.end(outcome);
      this.turn.ended();
    }
  }

  /** The runner has said that it is done, and nobody has seen the model ready since: its server has died at once. */
  private async brokeItsWord(placements: readonly Placement[]): Promise<void> {
    for (const placement of placements) {
      placement.wasStarted(false);
      placement.history.mustComeBack();
    }
    if (this.restarts.isInnocent()) return;
    await this.failed(
      placements,
      new ServerLostError('The backend said that it is done, yet does not serve the model.'),
    );
  }

  private async failed(placements: readonly Placement[], error: unknown): Promise<void> {
    if (!this.restarts.failed(error)) {
      await this.records.failed(placements, error);
      return;
    }
    for (const placement of placements) {
      if (retryPolicyOf(error) === 'bounded') placement.history.mustComeBack();
      if (placement.status === 'STARTING') placement.tell(`trying again after: ${messageOf(error)}`);
    }
    this.services.logger.warn(
      { err: error, model_name: this.unit.modelName },
      'A start failed and is tried again',
    );
  }

  private starting(gpuIds: readonly number[]): Placement[] {
    return gpuIds
      .map((gpuId) => this.unit.serving.get(gpuId))
      .filter((placement) => placement !== undefined)
      .filter((placement) => placement.status === 'STARTING');
  }

  private notInCatalogError(): ModelNotInCatalogError {
    const { modelName, deployment } = this.unit;
    const fault = this.absence ?? 'it is not there';
    return new ModelNotInCatalogError(
      `${modelName} serves no more (${fault}), and the configuration does not have it in ${deployment.backend} any more: it is not brought back. Stop it; or put it back into the configuration, start this service anew, and start it.`,
      { modelName },
    );
  }

  private lateError(): BackendTimeoutError {
    return new BackendTimeoutError(
      `${this.unit.modelName} was not ready within ${this.runner.startTimeoutMs / 1000} s.`,
    );
  }
}
