import { Inject, Injectable } from '@nestjs/common';
import { Subject } from 'rxjs';
import { Clock } from '../../common/clock.js';
import { LOGGER, type Logger } from '../../common/logging/logger.js';
import type { Crash, PlacementError } from '../../state/desired-state.js';
import type { DeploymentState } from './deployment-state.js';
import type { Placement } from './placement.js';
import type { PlacementEvent, PlacementStatus } from './placement-state.js';

/** A change of a placement: the one stream that logs, status, GPU occupants and metrics read from. */
export interface PlacementTransition {
  readonly modelName: string;
  readonly backend: string;
  readonly gpuId: number;
  readonly from: PlacementStatus | null;
  readonly to: PlacementStatus;
  readonly event: PlacementEvent;
  readonly reason: string;
  readonly error: PlacementError | undefined;
  readonly at: Date;
}

/** Applies events to placements, and tells everyone: the one place where a status changes. */
@Injectable()
export class PlacementJournal {
  private readonly stream = new Subject<PlacementTransition>();
  /** Every transition, as it happens. */
  readonly transitions = this.stream.asObservable();
  private readonly touches = new Subject<void>();
  /** Something about a placement has changed, with or without a transition. */
  readonly changes = this.touches.asObservable();

  constructor(
    @Inject(Clock) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  record(
    deployment: DeploymentState,
    placement: Placement,
    event: PlacementEvent,
    reason: string,
    error?: PlacementError,
  ): void {
    this.transition(deployment, placement, event, reason, { error });
  }

  /**
   * What served, or did so when the last run of this service ended, is not there any more: said with the last lines of its
   * server, which are kept with the placement.
   */
  crashed(
    deployment: DeploymentState,
    placement: Placement,
    reason: string,
    lastLines: readonly string[],
  ): void {
    const crash = placement.history.crashed(this.clock.now(), reason, lastLines);
    if (placement.status === 'RUNNING') {
      this.transition(deployment, placement, 'lost', reason, { crash });
      return;
    }
    placement.history.mustComeBack();
    this.logger.warn(
      { ...factsOf(deployment, placement), reason, log: crash.log },
      `${deployment.modelName} on GPU ${placement.gpuId} was lost while this service was away`,
    );
  }

  private transition(
    deployment: DeploymentState,
    placement: Placement,
    event: PlacementEvent,
    reason: string,
    { error, crash }: { readonly error?: PlacementError | undefined; readonly crash?: Crash },
  ): void {
    const request = event === 'lost' ? undefined : placement.history.cause;
    const at = this.clock.now();
    const from = placement.apply(event, at, error);
    deployment.updatedAt = at;
    const transition: PlacementTransition = {
      modelName: deployment.modelName,
      backend: deployment.backend,
      gpuId: placement.index,
      from,
      to: placement.status,
      event,
      reason,
      error,
      at,
    };
    this.logger[placement.status === 'ERROR' ? 'error' : crash ? 'warn' : 'info'](
      {
        ...factsOf(deployment, placement),
        from,
        to: transition.to,
        reason,
        ...(request !== undefined && { request }),
        ...(error && { error }),
        ...(crash && { log: crash.log }),
      },
      `${transition.modelName} on GPU ${transition.gpuId}: ${from} → ${transition.to}`,
    );
    this.stream.next(transition);
    this.touched();
  }

  /** Who holds what on the GPUs has changed without a transition. */
  touched(): void {
    this.touches.next();
  }
}

function factsOf(
  { modelName, backend }: DeploymentState,
  { gpuId }: Placement,
): { event: 'placement'; model_name: string; model_type: string; gpu_id: number } {
  return { event: 'placement', model_name: modelName, model_type: backend, gpu_id: gpuId };
}
