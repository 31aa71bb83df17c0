import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { Clock } from '../common/clock.js';
import { CONFIG } from '../config/config.module.js';
import type { Config } from '../config/schema.js';
import { GpuProvider, type GpuSample } from './gpu-provider.js';

/** That a GPU exists, apart from what it does. */
export interface GpuIdentity {
  /** NVML index: PCI bus order. */
  readonly id: number;
  readonly uuid: string | null;
  /** Product name. */
  readonly name: string | null;
  readonly memoryTotalMiB: number | null;
}

/** Of each GPU: that it is there, and, at the same place, the reading. */
type ReadingListener = (gpus: readonly GpuIdentity[], samples: readonly GpuSample[]) => void;

/** The GPUs of this host. However many ask, one reading at a time is under way, and it serves all of them. */
@Injectable()
export class GpusService implements OnApplicationShutdown {
  private last: { readonly samples: readonly GpuSample[]; readonly at: number } | undefined;
  private inFlight: Promise<readonly GpuSample[]> | undefined;
  private known: readonly GpuIdentity[] | undefined;
  private abort: AbortController | undefined;
  private closing: Promise<void> | undefined;
  private readonly listeners = new Set<ReadingListener>();

  constructor(
    private readonly provider: GpuProvider,
    private readonly clock: Clock,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /**
   * A reading of every GPU, by id, no older than `gpus.sample_max_age_ms`.
   * @throws NvmlNotInstalledError, GpuReadError
   */
  async list(): Promise<readonly GpuSample[]> {
    if (this.last && this.isFresh(this.last.at)) return this.last.samples;
    return this.refresh();
  }

  /**
   * A reading that began after this call: what it shows is no older than what the caller has just done.
   * @throws NvmlNotInstalledError, GpuReadError
   */
  async readAnew(): Promise<readonly GpuSample[]> {
    // The one under way began earlier; whether it fails is for those who asked for it.
    await this.inFlight?.catch(() => undefined);
    return this.refresh();
  }

  /** The GPUs that exist, by the last reading; none: nothing was ever read. */
  get lastSeen(): readonly GpuIdentity[] {
    return this.known ?? [];
  }

  /** Calls `listener` at every reading that succeeds, before whoever asked has it. Returns the unsubscribe function. */
  onReading(listener: ReadingListener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /**
   * The GPUs that exist: at once from the last reading, however old, once there was one. A stale one is renewed in the
   * background, so that a start never waits for the driver.
   * @throws NvmlNotInstalledError, GpuReadError while nothing was ever read
   */
  async inventory(): Promise<readonly GpuIdentity[]> {
    if (!this.known || !this.last) return this.refresh().then(() => this.known ?? []);
    // A failure is no matter here: whoever asks for readings gets it, and for existence the last answer stands.
    if (!this.isFresh(this.last.at)) void this.refresh().catch(() => undefined);
    return this.known;
  }

  onApplicationShutdown(): Promise<void> {
    this.abort?.abort(new Error('the service is ending'));
    this.closing ??= this.provider.close();
    return this.closing;
  }

  private isFresh(at: number): boolean {
    return this.clock.monotonicMs() - at < this.config.gpus.sample_max_age_ms;
  }

  private refresh(): Promise<readonly GpuSample[]> {
    this.inFlight ??= this.read().finally(() => {
      this.inFlight = undefined;
    });
    return this.inFlight;
  }

  private async read(): Promise<readonly GpuSample[]> {
    // One controller per reading: signals derived from one that lives as long as the service would pile up.
    this.abort = new AbortController();
    const samples = await this.provider.sample(this.abort.signal);
    this.last = { samples, at: this.clock.monotonicMs() };
    this.known = samples.map((now) => this.identityOf(now, samples));
    for (const listener of this.listeners) listener(this.known, samples);
    return samples;
  }

  /** A GPU that cannot be read just now is still the one it was, unless GPUs have moved. */
  private identityOf(
    { id, uuid, name, memoryTotalMiB }: GpuSample,
    samples: readonly GpuSample[],
  ): GpuIdentity {
    const there = this.known?.find((gpu) => gpu.id === id);
    const isElsewhere = samples.some(
      (each) => each.uuid !== null && each.uuid === there?.uuid && each.id !== id,
    );
    const haveMoved = isElsewhere || samples.length !== this.known?.length;
    const isSame = uuid === null ? !haveMoved : uuid === there?.uuid;
    const before = isSame ? there : undefined;
    return {
      id,
      uuid: uuid ?? before?.uuid ?? null,
      name: name ?? before?.name ?? null,
      memoryTotalMiB: memoryTotalMiB ?? before?.memoryTotalMiB ?? null,
    };
  }
}
