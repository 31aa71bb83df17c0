import { deadline } from '../../common/deadline.js';
import { DomainError } from '../../common/errors.js';
import { NameLocks } from '../../launchers/name-locks.js';

/** Another start on the GPU took too long for this one to wait on. */
export class GpuTurnError extends DomainError {
  readonly code = 'GPU_START_BUSY';
  readonly kind = 'unavailable';
  override readonly retry = 'always';
}

/**
 * One start at a time per GPU. vLLM measures how much memory is free while it comes up, and takes a share of the total:
 * two that do so at once on one GPU count each other's half-loaded weights.
 */
export class GpuTurns {
  private readonly locks = new NameLocks();
  private readonly busy = new Set<number>();

  /**
   * `work`'s result, run when nobody else has any of these GPUs.
   * @throws GpuTurnError after `limitMs`, ms, of waiting; the signal's reason; whatever `work` throws
   */
  async run<T>(
    gpuIds: readonly number[],
    limitMs: number,
    { signal, onProgress }: { readonly signal: AbortSignal; readonly onProgress: (text: string) => void },
    work: () => Promise<T>,
  ): Promise<T> {
    // In one order for all, so that no two wait for each other.
    const ordered = [...gpuIds].sort((a, b) => a - b);
    const held = ordered.filter((id) => this.busy.has(id));
    if (held.length > 0) onProgress(`waiting for another start on GPU ${held.join(', ')}`);
    const limit = deadline(limitMs, signal);
    const inTurn = async (): Promise<T> => {
      for (const id of ordered) this.busy.add(id);
      try {
        return await work();
      } finally {
        for (const id of ordered) this.busy.delete(id);
      }
    };
    const queued = ordered.reduceRight<() => Promise<T>>(
      (next, id) => () => this.locks.run(String(id), limit, next),
      inTurn,
    );
    try {
      return await queued();
    } catch (error) {
      // `work` does not know this limit: it was not begun.
      if (signal.aborted || error !== limit.reason) throw error;
      throw new GpuTurnError(
        `Another start on GPU ${ordered.join(', ')} was not done within ${Math.round(limitMs / 1000)} s.`,
      );
    }
  }
}
