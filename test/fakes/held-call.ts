import type { Deployment } from '../../src/runners/deployment.js';
import type { RunnerContext } from '../../src/runners/runner-context.js';

/** What a test can hold, and let fail. */
export type Verb = 'start' | 'stop' | 'force' | 'sleep' | 'wake';

/** A call of `start`, `stop`, `sleep` or `wake` that is under way, for a test to end. */
export class HeldCall {
  private settle!: { resolve: () => void; reject: (error: unknown) => void };
  readonly done: Promise<void>;

  constructor(
    readonly verb: Verb,
    readonly deployment: Deployment,
    /** GPUs to start on, or to let go of. */
    readonly gpuIds: readonly number[],
    readonly context: RunnerContext,
    private readonly takeEffect: () => void,
  ) {
    this.done = new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
    });
    this.done.catch(() => undefined);
  }

  succeed(): void {
    this.takeEffect();
    this.settle.resolve();
  }

  fail(error: Error): void {
    this.settle.reject(error);
  }
}
