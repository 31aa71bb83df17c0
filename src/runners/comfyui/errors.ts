import { DomainError } from '../../common/errors.js';

/** The configuration does not say what to run. */
export class ComfyuiNotConfiguredError extends DomainError {
  readonly code = 'COMFYUI_NOT_CONFIGURED';
  readonly kind = 'not_implemented';
}

/** A file or directory that the configuration names is not there. */
export class ComfyuiFileMissingError extends DomainError {
  readonly code = 'COMFYUI_FILE_MISSING';
  readonly kind = 'internal';
}

/** The server runs on another device than the placement's. */
export class WrongDeviceError extends DomainError {
  readonly code = 'WRONG_DEVICE';
  readonly kind = 'internal';
}

/**
 * A flag that the installed ComfyUI does not take: of the configuration (`internal`), or of an option of the start
 * (`invalid`).
 */
export class ComfyuiFlagRefusedError extends DomainError {
  readonly code = 'COMFYUI_FLAG_REFUSED';

  constructor(
    message: string,
    readonly kind: 'internal' | 'invalid',
  ) {
    super(message);
  }
}
