import { Injectable } from '@nestjs/common';
import { DomainError } from '../../common/errors.js';
import type { DeploymentOptions } from '../../runners/deployment.js';
import type { DeploymentState } from '../deployment/deployment-state.js';
import type { Placement } from '../deployment/placement.js';
import { GpuRoom } from '../room/gpu-room.js';
import type { DeploymentWorkers } from '../worker/deployment-workers.js';
import { Acceptance } from './acceptance.js';
import { Adoption } from './adoption.js';
import { Arrivals } from './arrivals.js';
import { backendChanged, Deployments } from './deployments.js';
import { OnGpus } from './on-gpus.js';
import { heldGpus, sameOptions, type StartAsked, StartChecks, type StartForecast } from './start-checks.js';

/** The placement that a start was about, new or there already. */
export interface StartAnswer {
  readonly state: DeploymentState;
  readonly placement: Placement;
}

/** How a start came in. */
interface StartOrder {
  readonly assertOpen: () => void;
  /** Id of the request. */
  readonly request: string | undefined;
}

/** A start whose checks found nothing in the way; its room is held until `release`. */
interface Permit {
  readonly options: DeploymentOptions;
  readonly release: () => void;
}

/** How a start becomes accepted, and what it would come to. */
@Injectable()
export class StartCommands {
  /** Starts that are not answered yet. */
  readonly arrivals = new Arrivals();

  constructor(
    private readonly deployments: Deployments,
    private readonly adoption: Adoption,
    private readonly checks: StartChecks,
    private readonly room: GpuRoom,
    private readonly onGpus: OnGpus,
    private readonly acceptance: Acceptance,
  ) {}

  /**
   * Accepts a start: from here on it comes true, or is an ERROR that says why. The checks that ask somebody are made before
   * the lock of the deployment is taken, so that an Engine that hangs holds up this start alone; what this service itself
   * may have changed meanwhile is checked again under the lock.
   * @param order how it came in; `assertOpen` throws when no command is taken any more
   * @throws what `assertOpen` throws, UnknownModelError, InvalidOptionsError, GpuNotFoundError, OptionsConflictError, PlacementOverlapError,
   * GpuMemoryShortError, GpuExclusiveError, BackendChangedError, StateWriteError, and what the runner's preflight finds; nothing has changed
   * then
   */
  async start(
    modelName: string,
    gpuId: number,
    config: Record<string, unknown>,
    order: StartOrder,
  ): Promise<StartAnswer> {
    const wish = this.checks.read(modelName, gpuId, config);
    const { runner, options } = wish;
    return this.arrivals.during({ modelName, gpuIds: runner.gpusOf(gpuId, options) }, async () => {
      const asked = await this.checks.onGpus(wish);
      if (!this.deployments.find(modelName)) await this.adoption.settled(runner.backend);
      return this.acceptStart(asked, this.deployments.of(runner, modelName), order);
    });
  }

  private async acceptStart(
    asked: StartAsked,
    workers: DeploymentWorkers,
    order: StartOrder,
  ): Promise<StartAnswer> {
    const { gpuId } = asked;
    for (;;) {
      const { state } = workers;
      const options = this.checks.optionsFor(asked, state);
      const existing = state.servingOn(gpuId);
      if (existing?.isActive) return { state, placement: existing };
      const permit = await this.permitUnlessAccepted(asked, state, options);
      if (!permit) continue;
      try {
        const placement = await this.accept(asked, workers, permit, order);
        if (placement) return { state, placement };
      } finally {
        permit.release();
      }
    }
  }

  /**
   * `undefined`: something is in the way, which may be the placement itself: another start of it was accepted meanwhile.
   * @throws like `start`
   */
  private async permitUnlessAccepted(
    asked: StartAsked,
    state: DeploymentState,
    options: DeploymentOptions,
  ): Promise<Permit | undefined> {
    try {
      return await this.permit(asked, state, options);
    } catch (error) {
      if (state.servingOn(asked.gpuId)?.isActive) return undefined;
      throw error;
    }
  }

  /** Asks whoever may be in the way, and holds the room. @throws like `start` */
  private async permit(
    asked: StartAsked,
    state: DeploymentState,
    options: DeploymentOptions,
  ): Promise<Permit> {
    const { runner, modelName, gpus } = asked;
    const gpuIds = this.checks.gpusFor(asked, state, options);
    await this.checks.preflight(asked, state, options);
    const release = await this.room.reserve(
      { modelName, gpuIds, ...this.room.claimOf(runner.gpuNeeds(modelName, options), modelName, options) },
      gpus,
      () => this.onGpus.occupants(),
    );
    return { options, release };
  }

  /** `undefined`: the options that were permitted are not those of the model any more. @throws like `start` */
  private accept(
    asked: StartAsked,
    workers: DeploymentWorkers,
    permit: Permit,
    { assertOpen, request }: StartOrder,
  ): Promise<Placement | undefined> {
    const { state, records } = workers;
    const { gpuId } = asked;
    return records.lock.runExclusive(async () => {
      assertOpen();
      const options = this.checks.optionsFor(asked, state);
      const existing = state.servingOn(gpuId);
      if (existing?.isActive) return existing;
      if (!sameOptions(options, permit.options)) return undefined;
      const gpuIds = this.checks.gpusFor(asked, state, options);
      return this.acceptance.start(workers, { gpus: heldGpus(asked.gpus, gpuIds), options, request });
    });
  }

  /**
   * What a start would come to, by the same checks; nothing is changed, or reserved.
   * @throws UnknownModelError, InvalidOptionsError, GpuNotFoundError, and what the GPUs throw: a start that makes no sense
   */
  async foresee(modelName: string, gpuId: number, config: Record<string, unknown>): Promise<StartForecast> {
    const asked = await this.checks.onGpus(this.checks.read(modelName, gpuId, config));
    const { runner, gpus } = asked;
    const state = this.deployments.stateOf(runner, modelName);
    const existing = state.servingOn(gpuId);
    const isThere = state.runner === runner && (existing?.isActive ?? false);
    let refusal: DomainError | undefined;
    let { options } = asked;
    let gpuIds = existing?.gpuIds ?? runner.gpusOf(gpuId, options);
    try {
      if (state.runner !== runner) throw backendChanged(state, runner);
      options = this.checks.optionsFor(asked, state);
      if (!isThere) {
        gpuIds = this.checks.gpusFor(asked, state, options);
        await this.checks.preflight(asked, state, options);
      }
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      refusal = error;
    }
    const claim = this.room.claimOf(runner.gpuNeeds(modelName, options), modelName, options);
    const rooms = await this.room.survey(
      { modelName, ...claim },
      gpus,
      () => this.onGpus.occupants(),
      await this.checks.unusableGpus(asked, options),
    );
    refusal ??= isThere ? undefined : gpuIds.map((id) => rooms.get(id)?.refusal).find((each) => each);
    return {
      modelName,
      backend: runner.backend,
      gpuId,
      gpuIds,
      would: refusal ? 'refuse' : isThere ? 'nothing' : 'start',
      refusal,
      need: claim.need,
      gpus: rooms,
    };
  }
}
