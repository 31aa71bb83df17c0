import { DomainError } from '../common/errors.js';
import type { GpuRef } from './deployment.js';

/** The GPUs for which `check` throws, each with what it throws. @throws what is no DomainError */
export function refusedOn(
  gpus: readonly GpuRef[],
  check: (gpuId: number) => void,
): ReadonlyMap<number, DomainError> {
  const refused = new Map<number, DomainError>();
  for (const { id } of gpus) {
    try {
      check(id);
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      refused.set(id, error);
    }
  }
  return refused;
}
