import { DomainError, type RetryPolicy } from '../common/errors.js';

/** The server died, or does not answer any more. */
export class ServerLostError extends DomainError {
  readonly code = 'SERVER_LOST';
  readonly kind = 'internal';
  override readonly retry: RetryPolicy = 'bounded';
}

/** The server ended by itself before it was ever ready, and will again. */
export class ServerUnfitError extends ServerLostError {
  override readonly retry = 'never';
}

/** The backend refused to serve the model. */
export class ModelLoadError extends DomainError {
  readonly code = 'MODEL_LOAD_FAILED';
  readonly kind = 'internal';
}

/** The backend was not done in time. */
export class BackendTimeoutError extends DomainError {
  readonly code = 'BACKEND_TIMEOUT';
  readonly kind = 'internal';
}

/** The configuration names a GPU that this host does not have. */
export class NamedGpuMissingError extends DomainError {
  readonly code = 'GPU_NOT_FOUND';
  readonly kind = 'invalid';
}

/** The model cannot be served on this GPU under the present configuration. */
export class GpuNotUsableError extends DomainError {
  readonly code = 'GPU_NOT_USABLE';
  readonly kind = 'invalid';
}
