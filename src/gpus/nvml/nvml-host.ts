import type { Clock } from '../../common/clock.js';
import { within } from '../../common/deadline.js';
import { DomainError, messageOf } from '../../common/errors.js';
import { GpuReadError } from '../gpu-provider.js';
import { errorOf, readingFailed } from './nvml-errors.js';
import { NvmlProcess } from './nvml-process.js';

export interface NvmlHostOptions {
  /** `gpus.nvml_library`. */
  readonly library: string;
  /** Compiled entry of the NVML process; the default lies beside this compiled file. */
  readonly entry?: URL;
  /** After a failed start the next try comes no sooner than this. */
  readonly retryAfterMs?: number;
}

const DEFAULT_RETRY_AFTER_MS = 2000;
/** Without persistence mode the driver sets up every GPU first, which takes seconds each. */
const INIT_TIMEOUT_MS = 120_000;
/** A killed process that is still there after this is held by the kernel, inside the driver. */
const STUCK_AFTER_MS = 250;
const CLOSE_TIMEOUT_MS = 1000;

interface Run {
  readonly process: NvmlProcess;
  readonly startedAt: number;
  /** Rejects with a DomainError. */
  readonly ready: Promise<void>;
  isReady: boolean;
}

/**
 * Keeps one NVML process, ready to be asked. After a failure the next start waits a while, and it never comes while the
 * process before still hangs in the driver: hung processes must not pile up.
 */
export class NvmlHost {
  private run: Run | undefined;
  private failure: { readonly error: DomainError; readonly at: number } | undefined;
  private closed = false;

  constructor(
    private readonly options: NvmlHostOptions,
    private readonly clock: Clock,
  ) {}

  /** The initialised process. @throws NvmlNotInstalledError, GpuReadError */
  async started(): Promise<NvmlProcess> {
    if (this.run && !this.run.process.isGone) {
      await this.run.ready;
      return this.run.process;
    }
    await this.assertMayStart(this.run?.process);
    const run = this.start();
    this.run = run;
    await run.ready;
    return run.process;
  }

  /** Milliseconds since the process was started; 0 without one. */
  ageMs(): number {
    return this.run ? this.clock.monotonicMs() - this.run.startedAt : 0;
  }

  /** Ends the process, so that the next use loads and initialises NVML anew. */
  replace(): void {
    this.run?.process.kill('the NVML process was replaced');
  }

  /** Notes a failure of the process, and is the error to throw for it. */
  failed(cause: unknown): DomainError {
    const error = cause instanceof DomainError ? cause : readingFailed(messageOf(cause), { cause });
    this.failure = { error, at: this.clock.monotonicMs() };
    return error;
  }

  /** Why nothing came within `timeoutMs`, in words. */
  lateness(timeoutMs: number): string {
    return this.run?.isReady === false
      ? `NVML is still initialising after ${timeoutMs} ms, which goes on in the background`
      : `NVML did not answer within ${timeoutMs} ms`;
  }

  async close(): Promise<void> {
    this.closed = true;
    if (!this.run) return;
    this.run.process.kill('the service is ending');
    await endOf(this.run.process, CLOSE_TIMEOUT_MS);
  }

  private async assertMayStart(previous: NvmlProcess | undefined): Promise<void> {
    if (previous) await endOf(previous, STUCK_AFTER_MS);
    if (this.closed) throw new GpuReadError('There are no GPU readings any more: the service is ending.');
    if (previous?.hasExited === false) {
      throw new GpuReadError(
        'GPU readings failed: an earlier NVML call still hangs in the driver, and its process cannot be ended. See dmesg; the host may need a reboot.',
      );
    }
    const retryAfterMs = this.options.retryAfterMs ?? DEFAULT_RETRY_AFTER_MS;
    if (this.failure && this.clock.monotonicMs() - this.failure.at < retryAfterMs) throw this.failure.error;
  }

  private start(): Run {
    const entry = this.options.entry ?? new URL('./nvml-child.js', import.meta.url);
    const process = new NvmlProcess(entry, this.options.library);
    const startedAt = this.clock.monotonicMs();
    const run: Run = { process, startedAt, isReady: false, ready: this.initialise(process) };
    run.ready.then(
      () => {
        run.isReady = true;
      },
      () => undefined,
    );
    return run;
  }

  private async initialise(process: NvmlProcess): Promise<void> {
    try {
      const reply = await process.receive(INIT_TIMEOUT_MS);
      if (reply.type === 'failed') throw errorOf(reply.failure, this.options.library);
      this.failure = undefined;
    } catch (error) {
      process.kill('NVML could not be initialised');
      throw this.failed(error);
    }
  }
}

/** Waits for the end of the process, `ms` at most; keeps the service alive meanwhile, as its own shutdown waits here. */
async function endOf(process: NvmlProcess, ms: number): Promise<void> {
  if (process.hasExited) return;
  await within({ ms }, () => process.exited).catch(() => undefined);
}
