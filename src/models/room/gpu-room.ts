import { Inject, Injectable } from '@nestjs/common';
import { within } from '../../common/deadline.js';
import type { DomainError } from '../../common/errors.js';
import { LOGGER, type Logger } from '../../common/logging/logger.js';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/schema.js';
import { GpuCordons } from '../../gpus/health/gpu-cordons.js';
import { GpusService } from '../../gpus/gpus.service.js';
import type { DeploymentOptions, GpuNeeds, GpuPolicy, GpuRef } from '../../runners/deployment.js';
import { GpuMemoryStore } from '../../state/gpu-memory.store.js';
import { assess, type Assessment, type RoomRequest } from './assessment.js';
import { holdingsOf } from './holdings.js';
import { needOf } from '../../runners/memory-need.js';
import type { Claim, GpuHoldings, Occupant } from './occupant.js';

/** Time, ms, a driver has to answer; later, the memory counts as unknown and a start is not held up. */
const READING_TIMEOUT_MS = 3000;

/** A placement that wants its room, the same on each of its GPUs. */
interface PlacementRequest extends Omit<RoomRequest, 'gpuId'> {
  readonly gpuIds: readonly number[];
}

/** Every placement that is or is on its way, on all GPUs. */
type Occupants = () => readonly Occupant[];

/**
 * Gives out room on the GPUs. A check and the reservation it ends in happen in one turn of the event loop, so that two
 * starts of different models always see each other; nobody is kept waiting for that.
 */
@Injectable()
export class GpuRoom {
  private readonly reservations = new Set<Occupant>();

  constructor(
    private readonly gpus: GpusService,
    private readonly learned: GpuMemoryStore,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
    private readonly cordons: GpuCordons,
  ) {}

  /**
   * Room for one placement on all its GPUs, held until the returned function is called: when the placement is accepted, or is not to be.
   * @throws GpuCordonedError, GpuMemoryShortError, GpuExclusiveError
   */
  async reserve(
    { gpuIds, ...request }: PlacementRequest,
    gpus: readonly GpuRef[],
    occupants: Occupants,
  ): Promise<() => void> {
    if (request.offGpu) return () => undefined;
    const held = gpuIds.map((id) => gpus.find((gpu) => gpu.id === id) ?? { id, uuid: null });
    const needsReading =
      request.need.memoryMiB !== null || held.some((gpu) => this.policyOf(gpu) === 'exclusive');
    const before = occupants();
    const holdings = needsReading ? await this.read(occupants) : undefined;
    // Another start of the same placement, a moment ago, is no other placement.
    const now = this.since(before, occupants()).filter(
      ({ modelName, state }) => modelName !== request.modelName || state === 'leaving',
    );
    for (const gpu of held) {
      const { refusal } = this.assess({ ...request, gpuId: gpu.id }, gpu, holdings, now);
      if (refusal) throw refusal;
    }
    const { modelName, need, policy } = request;
    const reserved = gpuIds.map((gpuId): Occupant => ({
      modelName,
      gpuId,
      pid: null,
      state: 'starting',
      estimateMiB: need.memoryMiB,
      policy,
    }));
    for (const each of reserved) this.reservations.add(each);
    return () => {
      for (const each of reserved) this.reservations.delete(each);
    };
  }

  /** What a placement of a model asks of its GPU: `needs` by the configuration, or more as was learned. */
  claimOf(needs: GpuNeeds, modelName: string, options: DeploymentOptions): Claim {
    const { policy, offGpu } = needs;
    const need = needOf(needs, this.learned.peakOf(modelName, options));
    return { need, policy, ...(offGpu && { offGpu }) };
  }

  /**
   * Whether a model has room on each GPU; nothing is reserved.
   * @param unusable GPUs that it cannot be on by the word of its backend
   */
  async survey(
    request: Omit<RoomRequest, 'gpuId'>,
    gpus: readonly GpuRef[],
    occupants: Occupants,
    unusable: ReadonlyMap<number, DomainError> = new Map(),
  ): Promise<Map<number, Assessment>> {
    const before = occupants();
    const holdings = await this.read(occupants);
    const now = this.since(before, occupants());
    return new Map(
      gpus.map((gpu) => [
        gpu.id,
        this.assess({ ...request, gpuId: gpu.id }, gpu, holdings, now, unusable.get(gpu.id)),
      ]),
    );
  }

  private assess(
    request: RoomRequest,
    gpu: GpuRef,
    holdings: ReadonlyMap<number, GpuHoldings> | undefined,
    occupants: readonly Occupant[],
    unusable?: DomainError,
  ): Assessment {
    return assess(request, {
      refused: this.cordons.refusal([gpu]) ?? unusable,
      policy: this.policyOf(gpu),
      holdings: holdings?.get(gpu.id),
      occupants: occupants.filter((each) => each.gpuId === gpu.id && !each.offGpu),
      totals: new Map([...(holdings ?? [])].map(([id, { totalMiB }]) => [id, totalMiB])),
    });
  }

  /** With the reservations; one that has come to run since the reading began is not in it. */
  private since(before: readonly Occupant[], now: readonly Occupant[]): Occupant[] {
    const key = ({ modelName, gpuId }: Occupant): string => `${gpuId} ${modelName}`;
    const ran = new Set(before.filter(({ state }) => state === 'running').map(key));
    const there = new Set(now.filter(({ state }) => state !== 'leaving').map(key));
    return [
      ...now.map((each): Occupant =>
        each.state === 'running' && !ran.has(key(each)) ? { ...each, state: 'starting' } : each,
      ),
      ...[...this.reservations].filter((each) => !there.has(key(each))),
    ];
  }

  private async read(occupants: Occupants): Promise<Map<number, GpuHoldings> | undefined> {
    try {
      const samples = await within({ ms: READING_TIMEOUT_MS }, () => this.gpus.readAnew());
      return await holdingsOf(
        samples,
        new Set(occupants().flatMap(({ pid }) => (pid === null ? [] : [pid]))),
      );
    } catch (error) {
      this.logger.warn(
        { err: error },
        "The GPUs' memory cannot be read: a start is not refused for want of it",
      );
      return undefined;
    }
  }

  private policyOf({ id, uuid }: GpuRef): GpuPolicy {
    const { policies } = this.config.gpus;
    return (
      (uuid === null ? undefined : policies[uuid]) ?? policies[String(id)] ?? policies.default ?? 'shared'
    );
  }
}
