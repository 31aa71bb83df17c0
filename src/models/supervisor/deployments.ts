import type { Clock } from '../../common/clock.js';
import type { Logger } from '../../common/logging/logger.js';
import type { Config } from '../../config/schema.js';
import type { GpusService } from '../../gpus/gpus.service.js';
import type { Deployment, Runner } from '../../runners/runner.js';
import type { Needed } from '../../runners/unneeded.js';
import type { DesiredDeployment } from '../../state/desired-state.js';
import type { DesiredStateStore } from '../../state/desired-state.store.js';
import type { Catalog } from '../deployment/catalog.js';
import { DeploymentState } from '../deployment/deployment-state.js';
import { DeploymentWorker } from '../worker/deployment-worker.js';
import type { PlacementJournal } from '../deployment/placement-journal.js';
import { StartSlots } from '../worker/start-slots.js';

interface DeploymentsContext {
  readonly catalog: Catalog;
  readonly store: DesiredStateStore;
  readonly journal: PlacementJournal;
  readonly gpus: GpusService;
  readonly clock: Clock;
  readonly config: Config;
  readonly logger: Logger;
  /** What is placed on the GPUs has changed without a transition. */
  readonly tenantsChanged: () => void;
}

/** Every deployment, each with the one worker that writes it. */
export class Deployments {
  private readonly byModel = new Map<string, DeploymentWorker>();
  /** What the state wants and this configuration cannot serve. */
  private readonly leftAlone: DesiredDeployment[] = [];
  private readonly slots = new StartSlots();

  constructor(private readonly context: DeploymentsContext) {}

  get workers(): DeploymentWorker[] {
    return [...this.byModel.values()];
  }

  find(modelName: string): DeploymentWorker | undefined {
    return this.byModel.get(modelName);
  }

  /** Those that have a placement. */
  placed(): DeploymentState[] {
    return this.workers.map(({ state }) => state).filter((state) => !state.isEmpty);
  }

  /** Of a model that has none yet, a new one. */
  workerOf(runner: Runner, modelName: string): DeploymentWorker {
    return this.byModel.get(modelName) ?? this.create(runner, this.stateOf(runner, modelName));
  }

  /** As it is, or as it would begin. */
  stateOf(runner: Runner, modelName: string): DeploymentState {
    const options = runner.defaultOptions(modelName);
    return (
      this.byModel.get(modelName)?.state ??
      new DeploymentState(modelName, runner.backend, options, this.context.clock.now())
    );
  }

  /** What the last run has left behind. What this configuration cannot serve stays on disk as it is. */
  restore(desired: DesiredDeployment): void {
    const { catalog, logger } = this.context;
    const runner = catalog.find(desired.model_name);
    if (runner?.backend !== desired.model_type) {
      this.leftAlone.push(desired);
      logger.error(
        { desired },
        'The state wants a model that this configuration does not have, or has in another backend: left as it is',
      );
      return;
    }
    const defaults = runner.defaultOptions(desired.model_name);
    const options = runner.optionsSchemaOf(desired.model_name).safeParse({ ...defaults, ...desired.options });
    if (!options.success) {
      logger.error(
        { desired },
        'The state holds options that the backend no longer takes: the defaults are used',
      );
    }
    this.create(runner, DeploymentState.restore(desired, options.success ? options.data : defaults, runner));
  }

  /** What the backend is to hold now, all models. */
  wanted(backend: string): Deployment[] {
    return this.workers
      .filter(({ state }) => state.backend === backend)
      .map(({ state }) => state.wanted())
      .filter(({ gpuIds }) => gpuIds.length > 0);
  }

  /** What is wanted of a backend, or still to be let go of, also of models that the configuration does not have. */
  needed(backend: string): Needed[] {
    const ours = this.workers
      .filter(({ state }) => state.backend === backend)
      .map(({ state }) => ({ modelName: state.modelName, gpuIds: startedOn(state) }));
    const others = this.leftAlone
      .filter((each) => each.model_type === backend)
      .map((each) => ({
        modelName: each.model_name,
        gpuIds: each.placements.map(({ gpu_id: gpuId }) => gpuId),
      }));
    return [...ours.filter(({ gpuIds }) => gpuIds.length > 0), ...others];
  }

  private create(runner: Runner, state: DeploymentState): DeploymentWorker {
    const { gpus, ...context } = this.context;
    const worker = new DeploymentWorker(state, runner, {
      ...context,
      gpus: () => gpus.inventory(),
      readGpus: () => gpus.readAnew(),
      slots: this.slots,
      wantedOf: (backend) => () => this.wanted(backend),
    });
    this.byModel.set(state.modelName, worker);
    return worker;
  }
}

/** The GPU of every placement that serves, starts, drains, or is not cleaned up yet. */
function startedOn(state: DeploymentState): number[] {
  const active = state.active().map(({ gpuId }) => gpuId);
  return [...new Set([...active, ...state.releasing.keys(), ...state.toRelease()])];
}
