import type { Clock } from '../../common/clock.js';
import { within } from '../../common/deadline.js';
import { DomainError, messageOf } from '../../common/errors.js';
import { GpuProvider, GpuReadError, type GpuSample } from '../gpu-provider.js';
import { errorOf, readingFailed } from './nvml-errors.js';
import type { GpuXid, NvmlReply } from './nvml-messages.js';
import { NvmlHost, type NvmlHostOptions } from './nvml-host.js';

export interface NvmlProviderOptions extends NvmlHostOptions {
  /** A reading that takes longer is an error; the NVML process that hangs in it is killed. */
  readonly timeoutMs: number;
  /** A GPU that stays lost is looked for again, by a new initialisation, no more often than this. */
  readonly reinitAfterMs?: number;
  /** What cannot be watched on this host, in a sentence. */
  readonly onNote?: (note: string) => void;
}

const DEFAULT_REINIT_AFTER_MS = 30_000;

/** The host's NVIDIA GPUs. NVML is initialised at the first sample and kept, in a process of its own. */
export class NvmlGpuProvider extends GpuProvider {
  private readonly host: NvmlHost;
  private readonly heard: GpuXid[] = [];
  private reading: Promise<readonly GpuSample[]> | undefined;

  constructor(
    private readonly options: NvmlProviderOptions,
    clock: Clock,
  ) {
    super();
    this.host = new NvmlHost(options, clock);
  }

  override async sample(signal: AbortSignal): Promise<readonly GpuSample[]> {
    const { timeoutMs: ms } = this.options;
    try {
      const late = (): GpuReadError => readingFailed(this.host.lateness(ms));
      return this.withXids(await within({ ms, signal, late }, () => this.shared()));
    } catch (error) {
      if (!signal.aborted || error instanceof DomainError) throw error;
      throw readingFailed(messageOf(error), { cause: error });
    }
  }

  override async close(): Promise<void> {
    await this.host.close();
  }

  /** The reading under way, or a new one. */
  private shared(): Promise<readonly GpuSample[]> {
    this.reading ??= this.read().finally(() => {
      this.reading = undefined;
    });
    return this.reading;
  }

  /** Of a reading that nobody waited for any more, too. */
  private withXids(samples: readonly GpuSample[]): readonly GpuSample[] {
    const heard = this.heard.splice(0);
    return samples.map((sample) => {
      const xids = heard.filter(({ id }) => id === sample.id).map(({ xid }) => xid);
      return xids.length === 0 ? sample : { ...sample, xids };
    });
  }

  private async read(): Promise<readonly GpuSample[]> {
    let reply = await this.ask();
    if (reply.type === 'failed' && reply.failure.reason === 'uninitialized') {
      this.host.replace();
      reply = await this.ask();
    }
    if (reply.type === 'failed') {
      const error = errorOf(reply.failure, this.options.library);
      if (reply.failure.reason !== 'uninitialized') throw error;
      this.host.replace();
      throw this.host.failed(error);
    }
    if (reply.type !== 'sample') {
      throw new GpuReadError(`The NVML process answered out of turn: ${reply.type}.`);
    }
    this.heard.push(...(reply.xids ?? []));
    if (reply.note !== undefined) this.options.onNote?.(reply.note);
    const reinitAfterMs = this.options.reinitAfterMs ?? DEFAULT_REINIT_AFTER_MS;
    if (reply.lost && this.host.ageMs() >= reinitAfterMs) this.host.replace();
    return reply.samples;
  }

  private async ask(): Promise<NvmlReply> {
    const process = await this.host.started();
    try {
      return await process.sample(this.options.timeoutMs);
    } catch (error) {
      throw this.host.failed(error);
    }
  }
}
