import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../../common/clock.js';
import { LOGGER, type Logger } from '../../common/logging/logger.js';
import type { Deployment, Runner } from '../../runners/runner.js';
import type { DesiredDeployment } from '../../state/desired-state.js';
import { Catalog } from '../deployment/catalog.js';
import { DeploymentState, desiredOf } from '../deployment/deployment-state.js';
import { DeploymentStates } from '../deployment/deployment-states.js';
import { DeploymentWorkers } from '../worker/deployment-workers.js';
import { WorkerServices } from '../worker/worker-services.js';

/** Every deployment, each with the workers that write it. */
@Injectable()
export class Deployments {
  private readonly byModel = new Map<string, DeploymentWorkers>();

  constructor(
    private readonly catalog: Catalog,
    private readonly states: DeploymentStates,
    private readonly services: WorkerServices,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  get all(): DeploymentWorkers[] {
    return [...this.byModel.values()];
  }

  find(modelName: string): DeploymentWorkers | undefined {
    return this.byModel.get(modelName);
  }

  /** Of a model that has none yet, new ones. */
  of(runner: Runner, modelName: string): DeploymentWorkers {
    return this.byModel.get(modelName) ?? this.create(runner, this.stateOf(runner, modelName));
  }

  /** As it is, or as it would begin. */
  stateOf(runner: Runner, modelName: string): DeploymentState {
    const options = runner.defaultOptions(modelName);
    return (
      this.byModel.get(modelName)?.state ??
      new DeploymentState(modelName, runner.backend, options, this.clock.now(), runner)
    );
  }

  /** What the last run has left behind. What this configuration cannot serve stays on disk as it is. */
  restore(desired: DesiredDeployment): void {
    const runner = this.catalog.find(desired.model_name);
    if (runner?.backend !== desired.model_type) {
      this.states.leaveAlone(desired);
      this.logger.error(
        { desired },
        'The state wants a model that this configuration does not have, or has in another backend: left as it is',
      );
      return;
    }
    const defaults = runner.defaultOptions(desired.model_name);
    const options = runner.optionsSchemaOf(desired.model_name).safeParse({ ...defaults, ...desired.options });
    if (!options.success) {
      this.logger.error(
        { desired },
        'The state holds options that the backend no longer takes: the defaults are used',
      );
    }
    const state = DeploymentState.restore(desired, options.success ? options.data : defaults, runner);
    const { lastSeen } = this.services.gpus;
    if (lastSeen.length > 0) for (const placement of state.placements()) placement.held.locate(lastSeen);
    this.create(runner, state);
  }

  /**
   * What serves is wanted, as if the state had said so all along; resolves once that is on disk. A model that has workers
   * was known since the state was lost: what its commands say counts, not what was seen before them.
   * @throws StateWriteError
   */
  async takeUp(runner: Runner, { modelName, gpuIds, gpus, options }: Deployment): Promise<void> {
    if (this.find(modelName)) return;
    const now = this.clock.now().toISOString();
    const desired: DesiredDeployment = {
      model_name: modelName,
      model_type: runner.backend,
      options: { ...options },
      placements: gpuIds.map((gpuId) => {
        const held = gpus?.get(gpuId);
        return held ? desiredOf({ gpuId, gpus: held }, 'serve') : { gpu_id: gpuId, wanted: 'serve' };
      }),
      created_at: now,
      updated_at: now,
    };
    await this.services.store.put(modelName, desired);
    this.logger.warn({ desired }, 'The state was lost: a model that serves is taken up');
    this.restore(desired);
    this.find(modelName)?.wake();
    this.services.journal.touched();
    // Whether its GPUs are still there; that they cannot be read is said by whoever needs them.
    void this.services.gpus.readAnew().catch(() => undefined);
  }

  private create(runner: Runner, state: DeploymentState): DeploymentWorkers {
    this.states.add(state);
    const workers = new DeploymentWorkers(state, runner, this.services);
    this.byModel.set(state.modelName, workers);
    return workers;
  }
}
