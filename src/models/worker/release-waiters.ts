import type { Placement } from '../deployment/placement.js';

interface Waiter {
  readonly resolve: (placement: Placement) => void;
  readonly reject: (error: unknown) => void;
}

/** Callers that wait for the end of a stop, or of a server, by GPU. */
export class ReleaseWaiters {
  private readonly waiters = new Map<number, Waiter[]>();
  private closed: Error | undefined;

  /** Resolves with the placement that the backend has let go of; rejects with what kept it from doing so. */
  wait(gpuId: number): Promise<Placement> {
    if (this.closed) return Promise.reject(this.closed);
    return new Promise((resolve, reject) => {
      this.waiters.set(gpuId, [...(this.waiters.get(gpuId) ?? []), { resolve, reject }]);
    });
  }

  /** Somebody waits for the end of this GPU's placement. */
  has(gpuId: number): boolean {
    return this.waiters.has(gpuId);
  }

  resolve(placement: Placement): void {
    for (const waiter of this.take(placement.gpuId)) waiter.resolve(placement);
  }

  reject(gpuId: number, error: unknown): void {
    for (const waiter of this.take(gpuId)) waiter.reject(error);
  }

  /** Nobody will stop anything any more. */
  close(error: Error): void {
    this.closed = error;
    for (const gpuId of [...this.waiters.keys()]) this.reject(gpuId, error);
  }

  private take(gpuId: number): Waiter[] {
    const waiters = this.waiters.get(gpuId) ?? [];
    this.waiters.delete(gpuId);
    return waiters;
  }
}
