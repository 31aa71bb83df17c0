import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../../common/clock.js';
import { safeName } from '../../config/sections/common.js';
import { LOGGER, type Logger } from '../../common/logging/logger.js';
import type { Deployment } from '../../runners/deployment.js';
import type { Runner } from '../../runners/runner.js';
import type { DesiredDeployment } from '../../state/desired-state.js';
import { Catalog } from '../deployment/catalog.js';
import { DeploymentState } from '../deployment/deployment-state.js';
import { desiredOf } from '../deployment/desired-placement.js';
import { BackendChangedError } from '../deployment/errors.js';
import { knownOptions } from '../deployment/known-options.js';
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

  /**
   * Of a model that has none yet, new ones.
   * @throws BackendChangedError: it has some, in another backend than the configuration's, and something of it is there
   */
  of(runner: Runner, modelName: string): DeploymentWorkers {
    const existing = this.byModel.get(modelName);
    if (existing?.state.runner === runner) return existing;
    const state = this.stateOf(runner, modelName);
    if (state.runner !== runner) throw backendChanged(state, runner);
    void existing?.close();
    return this.create(runner, state);
  }

  /** As it is, or as it would begin; in another backend, while something of it is there. */
  stateOf(runner: Runner, modelName: string): DeploymentState {
    const state = this.byModel.get(modelName)?.state;
    if (state && (state.runner === runner || isThere(state))) return state;
    const options = runner.defaultOptions(modelName);
    return new DeploymentState(modelName, runner.backend, options, this.clock.now(), runner);
  }

  /** What the last run has left behind. */
  restore(desired: DesiredDeployment): void {
    const runner = this.catalog.find(desired.model_name);
    if (runner?.backend === desired.model_type) this.restoreIn(runner, desired);
    else this.restoreFormer(desired);
  }

  /** The configuration does not have it any more: it stays as it is, and can be stopped. */
  private restoreFormer(desired: DesiredDeployment): void {
    const { model_name: modelName, model_type: backend, options } = desired;
    const runner = safeName.safeParse(modelName).success ? this.catalog.ofBackend(backend) : undefined;
    if (!runner) {
      this.states.leaveAlone(desired);
      this.logger.error({ desired }, 'The state wants a model of a backend that there is not: left as it is');
      return;
    }
    const now = this.catalog.find(modelName)?.backend;
    const where = now === undefined ? 'in no backend any more' : `in ${now} now, not in ${backend}`;
    this.logger.error(
      { desired },
      `${modelName} is wanted by the state, and in the configuration it is ${where}: what serves goes on until it is stopped, and is not brought back if it dies`,
    );
    const state = DeploymentState.restore(desired, options, runner, this.clock.now(), false);
    this.create(runner, this.located(state));
  }

  private restoreIn(runner: Runner, desired: DesiredDeployment): void {
    const { options, fit } = knownOptions(runner, desired.model_name, desired.options);
    if (fit === 'lost') {
      this.logger.error(
        { desired },
        'The state holds options that the backend no longer takes: the defaults are used',
      );
    }
    if (fit === 'kept') {
      this.logger.warn(
        { desired },
        'The state holds options that the configuration no longer takes: what runs with them stays so until it is launched anew',
      );
    }
    this.create(runner, this.located(DeploymentState.restore(desired, options, runner, this.clock.now())));
  }

  /** By the last reading of the GPUs, where there was one. */
  private located(state: DeploymentState): DeploymentState {
    const { lastSeen } = this.services.gpus;
    if (lastSeen.length > 0) for (const placement of state.placements()) placement.held.locate(lastSeen);
    return state;
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

/** It serves, starts, or has to be cleaned up. */
function isThere(state: DeploymentState): boolean {
  return state.units.some((unit) => unit.occupied().length > 0);
}

/** What a start of a model is refused with that the configuration has moved to another backend meanwhile. */
export function backendChanged(state: DeploymentState, { backend }: Runner): BackendChangedError {
  const { modelName } = state;
  const gpuIds = state.visible().map(({ gpuId }) => gpuId);
  return new BackendChangedError(
    `${modelName} is still in ${state.backend}, on GPU ${gpuIds.join(', ')}, where an earlier configuration had it; now it is in ${backend}: stop it there first, then start it.`,
    { modelName, gpuIds },
  );
}
