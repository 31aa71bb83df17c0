import { DeadlineError } from '../common/deadline.js';
import type { Logger } from '../common/logging/logger.js';
import type { Config } from '../config/schema.js';
import type { Runner, RunnerContext } from '../runners/runner.js';
import { Backoff } from './backoff.js';
import type { DeploymentRecords } from './deployment-records.js';
import type { DeploymentState } from './deployment-state.js';
import { StopTimeoutError } from './errors.js';
import { ReleaseProof, type ProofContext } from './release-proof.js';

/** Time, ms, over its own deadline in which a proof tells what it found. */
const PROOF_GRACE_MS = 5000;

interface ReleasesContext extends ProofContext {
  readonly logger: Logger;
  readonly config: Pick<Config, 'gpus' | 'health' | 'restart'>;
  readonly tenantsChanged: () => void;
}

/** One thing a release does, with a deadline and what follows from its end. */
interface ReleaseStep {
  readonly limitMs: number;
  readonly call: (signal: AbortSignal) => Promise<void>;
  readonly onSuccess: () => Promise<void>;
  readonly onFailure: (error: unknown) => Promise<void>;
}

/** What releases need of the deployment's worker. */
interface ReleaseHost {
  readonly now: () => number;
  readonly isClosed: () => boolean;
  readonly runStep: (step: ReleaseStep) => Promise<void>;
  readonly runnerContext: (signal: AbortSignal) => Promise<RunnerContext>;
  /** The backend has let go of some GPUs. */
  readonly onReleased: () => void;
}

/** How the GPUs of one deployment are given back: the runner's stop, the proof of their memory, and further tries. */
export class Releases {
  private readonly backoff: Backoff;
  private readonly proof: ReleaseProof;
  private notBeforeMs = 0;

  constructor(
    private readonly state: DeploymentState,
    private readonly runner: Runner,
    private readonly records: DeploymentRecords,
    private readonly context: ReleasesContext,
    private readonly host: ReleaseHost,
  ) {
    this.backoff = new Backoff(context.config.restart);
    this.proof = new ReleaseProof(state, runner, context);
  }

  /** Monotonic ms: what failed is not tried again earlier. */
  get notBefore(): number {
    return this.notBeforeMs;
  }

  /** A stop was accepted. */
  accepted(): void {
    this.backoff.reset();
    this.notBeforeMs = 0;
  }

  /** A start may have to wait for a release that failed. */
  retryNow(): void {
    this.notBeforeMs = 0;
  }

  async release(gpuIds: readonly number[]): Promise<void> {
    const limitMs = this.runner.stopTimeoutMs;
    await this.host.runStep({
      limitMs,
      call: async (signal) => {
        await this.proof.before(gpuIds, signal);
        await this.runner.stop(this.state.wanted(), gpuIds, await this.host.runnerContext(signal));
      },
      onSuccess: () => this.prove(gpuIds),
      onFailure: (error) =>
        this.failed(gpuIds, error instanceof DeadlineError ? this.lateError(gpuIds, limitMs) : error),
    });
  }

  private async prove(gpuIds: readonly number[]): Promise<void> {
    if (this.host.isClosed()) return; // the next run releases once more
    for (const gpuId of gpuIds) {
      const placement = this.state.releasing.get(gpuId);
      if (placement) placement.hasLetGo = true;
    }
    this.context.tenantsChanged();
    await this.host.runStep({
      limitMs: this.context.config.gpus.release_timeout_seconds * 1000 + PROOF_GRACE_MS,
      call: (signal) => this.proof.after(gpuIds, signal),
      onSuccess: () => this.succeeded(gpuIds),
      onFailure: (error) => this.failed(gpuIds, error),
    });
  }

  private async succeeded(gpuIds: readonly number[]): Promise<void> {
    this.backoff.reset();
    this.host.onReleased();
    await this.records.released(gpuIds);
  }

  /** It is tried again, ever more rarely; the callers are told now. */
  private async failed(gpuIds: readonly number[], error: unknown): Promise<void> {
    this.context.logger.error(
      { err: error, model_name: this.state.modelName, gpu_ids: gpuIds },
      'A stop failed and is tried again',
    );
    const delayMs = this.backoff.delayMs;
    this.backoff.failed();
    // A stop that was accepted meanwhile must not wait for what others have failed at.
    const isNew = this.state.toRelease().some((gpuId) => !gpuIds.includes(gpuId));
    this.notBeforeMs = isNew ? 0 : this.host.now() + delayMs;
    await this.records.releaseFailed(gpuIds, error);
  }

  private lateError(gpuIds: readonly number[], limitMs: number): StopTimeoutError {
    return new StopTimeoutError(
      `${this.state.modelName} on GPU ${gpuIds.join(', ')} was not stopped within ${limitMs / 1000} s; the stop goes on. Its status tells when it is done.`,
      { gpuIds },
    );
  }
}
