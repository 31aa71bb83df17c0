import { Injectable } from '@nestjs/common';
import type { Deployment } from '../../runners/deployment.js';
import type { Needed } from '../../runners/unneeded.js';
import type { DesiredDeployment } from '../../state/desired-state.js';
import type { DeploymentState } from './deployment-state.js';

/** All that is wanted, model by model. */
@Injectable()
export class DeploymentStates {
  private readonly byModel = new Map<string, DeploymentState>();
  /** What the state wants of backends that this version does not have. */
  private readonly leftAlone: DesiredDeployment[] = [];

  add(state: DeploymentState): void {
    this.byModel.set(state.modelName, state);
  }

  /** Of a backend that this version does not have: nothing is done with it. */
  leaveAlone(desired: DesiredDeployment): void {
    this.leftAlone.push(desired);
  }

  find(modelName: string): DeploymentState | undefined {
    return this.byModel.get(modelName);
  }

  /** Those that have a placement. */
  placed(): DeploymentState[] {
    return [...this.byModel.values()].filter((state) => !state.isEmpty);
  }

  /** What a backend is to hold now, all models. */
  wanted(backend: string): Deployment[] {
    return this.of(backend)
      .map((state) => state.wanted())
      .filter(({ gpuIds }) => gpuIds.length > 0);
  }

  /** What is wanted of a backend, or still to be let go of, also of models that the configuration does not have. */
  needed(backend: string): Needed[] {
    const ours = this.of(backend).map(({ modelName, units }) => ({
      modelName,
      gpuIds: units.flatMap((unit) => unit.occupied()),
    }));
    const others = this.leftAlone
      .filter((each) => each.model_type === backend)
      .map((each) => ({
        modelName: each.model_name,
        gpuIds: each.placements.map(({ gpu_id: gpuId }) => gpuId),
      }));
    return [...ours.filter(({ gpuIds }) => gpuIds.length > 0), ...others];
  }

  private of(backend: string): DeploymentState[] {
    return [...this.byModel.values()].filter((state) => state.backend === backend);
  }
}
