import { DomainError } from '../../common/errors.js';

/** Nothing is started on a cordoned GPU. */
export class GpuCordonedError extends DomainError {
  readonly code = 'GPU_CORDONED';
  readonly kind = 'conflict';
}

/** The service has found the GPU of a placement to be bad. */
export class GpuUnhealthyError extends DomainError {
  readonly code = 'GPU_UNHEALTHY';
  readonly kind = 'internal';
}

/** The path names a GPU that this host does not have. */
export class UnknownGpuError extends DomainError {
  readonly code = 'GPU_NOT_FOUND';
  readonly kind = 'not_found';

  constructor(named: string, ids: readonly number[]) {
    super(`There is no GPU ${named} on this host. GPUs: ${ids.join(', ') || 'none'}.`);
  }
}
