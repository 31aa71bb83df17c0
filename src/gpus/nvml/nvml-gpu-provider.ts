import type { Clock } from '../../common/clock.js';
import { deadline, DeadlineError, orAborted } from '../../common/deadline.js';
import { DomainError, messageOf } from '../../common/errors.js';
import { GpuProvider, GpuReadError, type GpuSample } from '../gpu-provider.js';
import { errorOf } from './nvml-errors.js';
import type { NvmlReply } from './nvml-messages.js';
import { NvmlHost, type NvmlHostOptions } from './nvml-host.js';

export interface NvmlProviderOptions extends NvmlHostOptions {
  /** A reading that takes longer is an error; the NVML process that hangs in it is killed. */
  readonly timeoutMs: number;
  /** A GPU that stays lost is looked for again, by a new initialisation, no more often than this. */
  readonly reinitAfterMs?: number;
}

const DEFAULT_REINIT_AFTER_MS = 30_000;

/** The host's NVIDIA GPUs. NVML is initialised at the first sample and kept, in a process of its own. */
export class NvmlGpuProvider extends GpuProvider {
  private readonly host: NvmlHost;
  private reading: Promise<readonly GpuSample[]> | undefined;

  constructor(
    private readonly options: NvmlProviderOptions,
    clock: Clock,
  ) {
    super();
    this.host = new NvmlHost(options, clock);
  }

  override async sample(signal: AbortSignal): Promise<readonly GpuSample[]> {
    if (signal.aborted) throw new GpuReadError(`GPU readings failed: ${messageOf(signal.reason)}.`);
    this.reading ??= this.read().finally(() => {
      this.reading = undefined;
    });
    const limit = deadline(this.options.timeoutMs, signal);
    try {
      return await orAborted(this.reading, limit);
    } catch (error) {
      if (!limit.aborted || error instanceof DomainError) throw error;
      const isLate = error instanceof DeadlineError;
      const why = isLate ? this.host.lateness(this.options.timeoutMs) : messageOf(error);
      throw new GpuReadError(
        `GPU readings failed: ${why}. Check that nvidia-smi answers on this host.`,
        {},
        { cause: error },
      );
    }
  }

  override async close(): Promise<void> {
    await this.host.close();
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
