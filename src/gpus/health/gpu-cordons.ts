import { type BeforeApplicationShutdown, Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { Mutex } from 'async-mutex';
import { Clock } from '../../common/clock.js';
import { ShuttingDownError } from '../../common/errors.js';
import { LOGGER, type Logger } from '../../common/logging/logger.js';
import type { AcknowledgedFaults, GpuCordon } from '../../state/gpu-cordons.js';
import { GpuCordonsStore } from '../../state/gpu-cordons.store.js';
import { type GpuIdentity, GpusService } from '../gpus.service.js';
import { GpuCordonedError } from './errors.js';

/** A GPU, as whoever asks knows it. */
export type NamedGpu = Pick<GpuIdentity, 'id' | 'uuid'>;

/** As a path of the API names it for long: an index may be another GPU's by the time somebody reads it. */
export function lastingName({ id, uuid }: NamedGpu): string {
  return uuid ?? String(id);
}

type NameOfGpu = (gpu: NamedGpu) => string;

/** Kind of a fault → how many there were. */
export type FaultCounts = Readonly<Record<string, number>>;

/** What the service says of a GPU that it has found to be bad. */
export interface Finding {
  readonly reason: string;
  /** Its cordon ends by itself when the reading has passed. */
  readonly passes: boolean;
}

/** Who has changed a cordon. */
interface Author {
  readonly by: GpuCordon['by'];
  /** Id of the request. */
  readonly request?: string | undefined;
}

/** @param reason what was found, for a sentence */
type BadGpuListener = (gpu: NamedGpu, reason: string) => void;

/**
 * The GPUs on which nothing is started, by UUID, and why. What an operator was answered is on disk, and so is what follows from
 * a finding of the service: neither a crash nor a change of indices ends a cordon. An operator's cordon leaves alone what runs;
 * of a finding of the service, listeners are told.
 */
@Injectable()
export class GpuCordons implements OnModuleInit, BeforeApplicationShutdown {
  private cordons: readonly GpuCordon[] = [];
  private acknowledged: readonly AcknowledgedFaults[] = [];
  private isClosing = false;
  private readonly lock = new Mutex();
  private readonly listeners = new Set<BadGpuListener>();
  /** Findings that this run has told of, with their GPUs: the last run may have died before it could. */
  private readonly told = new Set<string>();

  constructor(
    private readonly store: GpuCordonsStore,
    private readonly gpus: GpusService,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    gpus.onReading((now) => {
      this.locate(now);
    });
  }

  async onModuleInit(): Promise<void> {
    ({ cordons: this.cordons, acknowledged: this.acknowledged } = await this.store.load());
  }

  /** Resolves when all is written that was accepted. */
  async beforeApplicationShutdown(): Promise<void> {
    this.isClosing = true;
    await this.lock.waitForUnlock();
  }

  /** Never waits. */
  of(gpu: NamedGpu): GpuCordon | undefined {
    return this.cordons.find((each) => this.isOf(gpu, each));
  }

  /** What the service has found of a GPU that is cordoned since, in this run or an earlier one: nothing stays on it. */
  foundOf(gpu: NamedGpu): string | undefined {
    const cordon = this.of(gpu);
    return cordon?.by === 'service' ? cordon.reason : cordon?.found;
  }

  /**
   * Why nothing can be started on these GPUs.
   * @param nameOf a GPU in a path of the API, by its index where nothing is said; what is kept goes by `lastingName`
   */
  refusal(gpus: readonly NamedGpu[], nameOf: NameOfGpu = indexOf): GpuCordonedError | undefined {
    for (const gpu of gpus) {
      const cordon = this.of(gpu);
      if (cordon) return refusalOf(gpu, cordon, nameOf({ id: gpu.id, uuid: cordon.gpu_uuid }));
    }
    return undefined;
  }

  /** Calls `listener` when the service has found a GPU to be bad. Returns the unsubscribe function. */
  onBadGpu(listener: BadGpuListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /**
   * By an operator, who alone ends it. What is cordoned already keeps its time; its reason changes where one is given.
   * @param request id of the request, for the log
   * @throws ShuttingDownError; StateWriteError, and nothing has changed
   */
  cordon(gpu: NamedGpu, reason: string | undefined, request?: string): Promise<void> {
    return this.lock.runExclusive(async () => {
      this.assertOpen();
      const before = this.of(gpu);
      const found = this.foundOf(gpu);
      const cordon = this.cordonOf(gpu, {
        ...(found !== undefined && { found }),
        reason: reason ?? before?.reason ?? 'cordoned by an operator',
        by: 'operator',
        since: before?.since ?? this.clock.now().toISOString(),
      });
      await this.store.save({ cordons: this.with(gpu, cordon), acknowledged: this.acknowledged });
      this.cordons = this.with(gpu, cordon);
      if (before?.by !== 'operator' || before.reason !== cordon.reason) {
        this.say(gpu, cordon, { by: 'operator', request });
      }
    });
  }

  /**
   * By an operator, whatever led to it. The faults that are known of the GPU now lead to no new one until there are more.
   * @param request id of the request, for the log
   * @throws ShuttingDownError; StateWriteError, and nothing has changed
   */
  uncordon(gpu: NamedGpu, known: FaultCounts = {}, request?: string): Promise<void> {
    return this.lock.runExclusive(async () => {
      this.assertOpen();
      const before = this.of(gpu);
      if (!before) return;
      const acknowledged = this.withAcknowledged(gpu, known);
      await this.store.save({ cordons: this.with(gpu, undefined), acknowledged });
      this.cordons = this.with(gpu, undefined);
      this.acknowledged = acknowledged;
      this.say(gpu, undefined, { by: 'operator', request });
    });
  }

  /** The service has found it to be bad. Nothing is started there from now on, whether or not it can be written; of what is known nothing is told. */
  async found(gpu: NamedGpu, { reason, passes }: Finding): Promise<void> {
    const before = this.of(gpu);
    const finding = `${this.uuidOf(gpu) ?? gpu.id} ${reason}`;
    const isTold = this.told.has(finding);
    this.told.add(finding);
    if (before?.reason.includes(reason)) {
      if (!isTold) this.tell(gpu, reason);
      return;
    }
    const found = this.foundOf(gpu);
    const cordon = this.cordonOf(gpu, {
      reason: before ? `${before.reason}; ${reason}` : reason,
      by: before?.by ?? 'service',
      ...(before?.by === 'operator' && { found: found === undefined ? reason : `${found}; ${reason}` }),
      since: before?.since ?? this.clock.now().toISOString(),
      ...(passes && (!before || before.passes) && { passes: true as const }),
    });
    this.cordons = this.with(gpu, cordon);
    this.say(gpu, cordon, { by: 'service' });
    await this.write();
    this.tell(gpu, reason);
  }

  /** The reading that led to the service's own cordon has passed. */
  async passed(gpu: NamedGpu): Promise<void> {
    const before = this.of(gpu);
    if (before?.passes !== true) return;
    this.cordons = this.with(gpu, undefined);
    this.say(gpu, undefined, { by: 'service' });
    await this.write();
  }

  /** How many faults of each kind an operator knew of when the cordon was ended; a count that has fallen since began anew. */
  acknowledgedOf(gpu: NamedGpu): FaultCounts {
    const uuid = this.uuidOf(gpu);
    return this.acknowledged.find((each) => each.gpu_uuid === uuid)?.faults ?? {};
  }

  /** Fewer are known of the GPU than an operator knew of. */
  async acknowledge(gpu: NamedGpu, known: FaultCounts): Promise<void> {
    this.acknowledged = this.withAcknowledged(gpu, known);
    await this.write();
  }

  private tell(gpu: NamedGpu, reason: string): void {
    for (const listener of this.listeners) listener(gpu, reason);
  }

  private assertOpen(): void {
    if (this.isClosing)
      throw new ShuttingDownError('This service is shutting down and takes no more commands.');
  }

  private withAcknowledged(gpu: NamedGpu, faults: FaultCounts): readonly AcknowledgedFaults[] {
    const uuid = this.uuidOf(gpu);
    const others = this.acknowledged.filter((each) => each.gpu_uuid !== uuid);
    const counted = Object.entries(faults).filter(([, count]) => count > 0);
    if (uuid === null || counted.length === 0) return others;
    return [...others, { gpu_uuid: uuid, faults: Object.fromEntries(counted) }];
  }

  private isOf(gpu: NamedGpu, { gpu_uuid, gpu_id }: GpuCordon): boolean {
    const uuid = this.uuidOf(gpu);
    return gpu_uuid === null || uuid === null ? gpu_id === gpu.id : gpu_uuid === uuid;
  }

  private with(gpu: NamedGpu, cordon: GpuCordon | undefined): readonly GpuCordon[] {
    const others = this.cordons.filter((each) => !this.isOf(gpu, each));
    return cordon ? [...others, cordon] : others;
  }

  private cordonOf(gpu: NamedGpu, rest: Omit<GpuCordon, 'gpu_id' | 'gpu_uuid'>): GpuCordon {
    return { gpu_id: gpu.id, gpu_uuid: this.uuidOf(gpu), ...rest };
  }

  /** A lost GPU may not tell it any more: then as it was last seen. */
  private uuidOf({ id, uuid }: NamedGpu): string | null {
    return uuid ?? this.gpus.lastSeen.find((gpu) => gpu.id === id)?.uuid ?? null;
  }

  /** Indices follow UUIDs; a GPU that could not tell its own is known by it from now on. */
  private locate(gpus: readonly NamedGpu[]): void {
    const before = this.cordons;
    this.cordons = before.map((cordon) => {
      const { gpu_uuid: uuid, gpu_id: id } = cordon;
      const found = gpus.find((gpu) => (uuid === null ? gpu.id === id : gpu.uuid === uuid));
      if (!found || (found.id === id && found.uuid === uuid)) return cordon;
      return { ...cordon, gpu_id: found.id, gpu_uuid: found.uuid };
    });
    if (this.cordons.some((cordon, at) => cordon !== before[at])) void this.write();
  }

  private async write(): Promise<void> {
    await this.lock.runExclusive(async () => {
      try {
        await this.store.save({ cordons: this.cordons, acknowledged: this.acknowledged });
      } catch (error) {
        this.logger.error(
          { err: error },
          'The cordons could not be written: they hold for as long as this service runs',
        );
      }
    });
  }

  private say({ id, uuid }: NamedGpu, cordon: GpuCordon | undefined, { by, request }: Author): void {
    const who = { by, ...(request !== undefined && { request }) };
    const facts = { event: 'gpu', gpu_id: id, gpu_uuid: cordon?.gpu_uuid ?? uuid, ...who };
    if (!cordon) this.logger.info(facts, `GPU ${id} is not cordoned any more`);
    else this.logger.warn({ ...facts, reason: cordon.reason }, `GPU ${id} is cordoned: ${cordon.reason}`);
  }
}

function indexOf({ id }: NamedGpu): string {
  return String(id);
}

function refusalOf(
  { id }: NamedGpu,
  { reason, by, since, gpu_uuid }: GpuCordon,
  name: string,
): GpuCordonedError {
  return new GpuCordonedError(
    `GPU ${id} is cordoned since ${since} by ${by === 'operator' ? 'an operator' : 'this service'}: ${reason}. Nothing is started on it: choose another GPU, or mend it and end the cordon with POST /api/v1/gpus/${name}/uncordon.`,
    { gpuId: id, gpuUuid: gpu_uuid, reason, by, since },
  );
}
