import type { EndedPart, Trouble } from '../../runners/progress.js';
import type { Runner } from '../../runners/runner.js';
import type { UnitState } from '../deployment/deployment-state.js';
import type { DeploymentRecords } from './deployment-records.js';
import type { Renewal } from './renewals.js';
import type { Restarts } from './restarts.js';
import type { Steps } from './steps.js';
import type { WorkerServices } from './worker-services.js';

/** What all models of a server that is renewed say. */
const RENEWED = 'its server held memory of models that have left, and is started anew (recycle_held_mb)';

/** The ends of a unit's server, or of its model, that are made so that it is started anew. */
export class Recycles {
  constructor(
    private readonly unit: UnitState,
    private readonly runner: Runner,
    private readonly records: DeploymentRecords,
    private readonly restarts: Restarts,
    private readonly steps: Steps,
    private readonly services: WorkerServices,
  ) {}

  /** Ends the server by force if it still does not answer; it is started anew then. */
  async recycle(): Promise<void> {
    const wanted = this.unit.wanted();
    const { modelName } = this.unit;
    const seconds = this.restarts.silenceLimitMs / 1000;
    const fault = `its server did not answer for ${seconds} s (liveness.deadline_seconds)`;
    let wasEnded = false;
    await this.steps.run('recycle', {
      limitMs: this.runner.startTimeoutMs,
      call: async (signal) => {
        wasEnded = await this.runner.recycle(wanted, await this.steps.runnerContext(signal, 'release'));
      },
      onSuccess: () => {
        if (!wasEnded) return;
        this.services.logger.warn(
          { event: 'recycle', model_name: modelName, gpu_ids: wanted.gpuIds, fault },
          `${modelName}: ${fault}, and was ended by force; it is started anew`,
        );
        this.recycled(fault);
      },
      onFailure: (error) => {
        const facts = { err: error, model_name: modelName };
        this.services.logger.error(
          facts,
          'A server that does not answer could not be ended and is tried again',
        );
      },
    });
    this.restarts.hasAnswered(); // either way it has its deadline once more
  }

  /** Ends what does not get on; it is started anew then. Says what was ended; `undefined`: it could not be. */
  async heal(trouble: Trouble): Promise<EndedPart | undefined> {
    const { words: fault } = trouble;
    const { modelName } = this.unit;
    let ended: EndedPart | undefined;
    const end = this.restarts.beginEnd(
      `its server was ended, and is started anew, for ${modelName}: ${fault}`,
    );
    const wanted = this.unit.wanted();
    await this.steps.run('heal', {
      limitMs: this.runner.startTimeoutMs,
      call: async (signal) => {
        const context = await this.steps.runnerContext(signal, 'release');
        ended = await this.runner.endStuck(wanted, trouble, context);
        const facts = { event: 'healing', model_name: modelName, gpu_ids: wanted.gpuIds, fault, ended };
        if (ended === 'nothing')
          this.services.logger.info(facts, `${modelName}: its server has ended since, and nothing more is`);
        else this.services.logger.warn(facts, `${modelName}: its ${ended} was ended, and is started anew`);
      },
      onSuccess: () => {
        if (ended !== 'nothing') this.recycled(fault);
      },
      onFailure: (error) => {
        const facts = { err: error, model_name: modelName };
        this.services.logger.error(facts, 'What does not get on could not be ended');
      },
    });
    end(ended === 'server');
    return ended;
  }

  /** Ends the server politely, so that it is started anew with all that it served; the end is charged to nobody. */
  async renew({ isQuiet, onEnded }: Renewal): Promise<void> {
    const wanted = this.unit.wanted();
    const ended = this.restarts.beginEnd(RENEWED);
    const end = { isDone: false };
    await this.steps.run('renew', {
      limitMs: this.runner.stopTimeoutMs,
      call: async (signal) => {
        const context = await this.steps.runnerContext(signal, 'release');
        end.isDone = await this.runner.renew(wanted, isQuiet, context);
      },
      onSuccess: () => undefined,
      onFailure: (error) => {
        const facts = { err: error, model_name: this.unit.modelName };
        this.services.logger.error(facts, 'A server that holds memory could not be ended');
      },
    });
    ended(end.isDone);
    if (!end.isDone) return;
    onEnded();
    for (const placement of this.unit.active()) {
      placement.wasStarted(false);
      if (placement.status === 'RUNNING')
        this.services.journal.record(this.unit.deployment, placement, 'lost', RENEWED);
    }
  }

  private recycled(fault: string): void {
    for (const placement of this.unit.active()) {
      placement.wasStarted(false);
      placement.history.mustComeBack();
    }
    const running = this.unit.active().filter(({ status }) => status === 'RUNNING');
    this.restarts.lost(
      fault,
      running.map(({ gpuId }) => gpuId),
    );
    for (const placement of running) {
      this.services.journal.crashed(this.unit.deployment, placement, `${fault}: it is started anew`, []);
    }
    this.records.note();
  }
}
