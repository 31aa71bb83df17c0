import { DomainError } from '../../common/errors.js';

/** The model needs more memory than is left on the GPU. */
export class GpuMemoryShortError extends DomainError {
  readonly code = 'GPU_MEMORY_SHORT';
  readonly kind = 'conflict';
}

/** The GPU, the model, or one that is there already, shares with nobody. */
export class GpuExclusiveError extends DomainError {
  readonly code = 'GPU_EXCLUSIVE';
  readonly kind = 'conflict';
}
