import { DomainError } from '../../common/errors.js';

export { ShuttingDownError } from '../../common/errors.js';

/** No backend's `supported_models` holds the model; on a start (400) and where it was looked up (404). */
export class UnknownModelError extends DomainError {
  readonly code = 'MODEL_UNKNOWN';

  constructor(
    modelName: string,
    readonly kind: 'invalid' | 'not_found',
    known: readonly string[],
  ) {
    super(`Model ${quoted(modelName)} is not supported. Supported models: ${known.join(', ') || 'none'}.`);
  }
}

/** `StartRequest.config` holds what the backend has no notion of. */
export class InvalidOptionsError extends DomainError {
  readonly code = 'CONFIG_OPTION_INVALID';
  readonly kind = 'invalid';
}

/** The seed's "CUDA device not found"; of a placement: its GPU is not on this host any more. */
export class GpuNotFoundError extends DomainError {
  readonly code = 'GPU_NOT_FOUND';
  readonly kind = 'invalid';
}

/** The model runs elsewhere with other options, and all GPUs of a deployment share them. */
export class OptionsConflictError extends DomainError {
  readonly code = 'OPTIONS_CONFLICT';
  readonly kind = 'conflict';
}

/** One of the GPUs a placement would hold is held by another of the same model. */
export class PlacementOverlapError extends DomainError {
  readonly code = 'PLACEMENT_OVERLAP';
  readonly kind = 'conflict';
}

/** Its server is gone, and the configuration does not say any more how to bring it back. */
export class ModelNotInCatalogError extends DomainError {
  readonly code = 'MODEL_NOT_IN_CATALOG';
  readonly kind = 'internal';
}

/** The model is still there in the backend that an earlier configuration had it in. */
export class BackendChangedError extends DomainError {
  readonly code = 'BACKEND_CHANGED';
  readonly kind = 'conflict';
}

/** The model has no placement there. */
export class NotPlacedError extends DomainError {
  readonly code = 'MODEL_NOT_RUNNING';
  readonly kind = 'not_found';
}

/** What a start has to be checked against (the Engine, the disk) does not answer. */
export class PreflightTimeoutError extends DomainError {
  readonly code = 'PREFLIGHT_TIMEOUT';
  readonly kind = 'unavailable';
}

/** The backend did not let go in time; the stop goes on in the background. */
export class StopTimeoutError extends DomainError {
  readonly code = 'STOP_TIMEOUT';
  readonly kind = 'internal';
}

/** Its server was ended over the API, on purpose: it is not brought back. */
export class EndedOverApiError extends DomainError {
  readonly code = 'ENDED_OVER_API';
  readonly kind = 'internal';
}

/** The server has ended, and the driver says that its processes still hold memory of the GPU; it is looked at again. */
export class GpuMemoryHeldError extends DomainError {
  readonly code = 'GPU_MEMORY_HELD';
  readonly kind = 'internal';
}

/** To place a model, its GPUs must be known; the driver may answer again. */
export class GpusUnknownError extends DomainError {
  readonly code = 'GPUS_UNKNOWN';
  readonly kind = 'unavailable';
  override readonly retry = 'always';
}

/** The state was lost, and what a backend serves cannot be told yet: a command might start or end it blindly. */
export class AdoptionPendingError extends DomainError {
  readonly code = 'ADOPTION_PENDING';
  readonly kind = 'unavailable';
}

export function notPlaced(modelName: string, gpuId: number, gpuUuid?: string): NotPlacedError {
  const which = gpuUuid === undefined ? '' : ` (${quoted(gpuUuid)})`;
  return new NotPlacedError(`Model ${quoted(modelName)} is not running on GPU ${gpuId}${which}.`, {
    modelName,
    gpuId,
    ...(gpuUuid !== undefined && { gpuUuid }),
  });
}

/** A name from a request, fit for a sentence and a log line. */
export function quoted(name: string): string {
  return JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}…` : name);
}
