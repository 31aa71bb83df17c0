import { z } from 'zod';
import { DomainError } from '../../common/errors.js';
import type { ComfyuiConfig } from '../../config/sections/comfyui.js';
import { type DeploymentOptions, type PlacementObservation, Runner } from '../runner.js';
import type { Unneeded } from '../unneeded.js';

/** The backend is in the catalog, and cannot be started yet. */
export class BackendNotImplementedError extends DomainError {
  readonly code = 'BACKEND_NOT_IMPLEMENTED';
  readonly kind = 'not_implemented';
}

/** Keeps ComfyUI's models in the catalog and says plainly that they cannot be started by this version. */
export class ComfyuiRunner extends Runner {
  readonly backend = 'comfyui';
  readonly models: readonly string[];
  readonly optionsSchema = z.strictObject({});
  readonly startTimeoutMs = 0;
  readonly stopTimeoutMs = 0;

  constructor(config: ComfyuiConfig) {
    super();
    this.models = config.supported_models;
  }

  defaultOptions(): DeploymentOptions {
    return {};
  }

  instancesPerGpu(): number {
    return 1;
  }

  preflight(): Promise<void> {
    return Promise.reject(this.notImplemented());
  }

  start(): Promise<void> {
    return Promise.reject(this.notImplemented());
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  stopByForce(): Promise<void> {
    return Promise.resolve();
  }

  recycle(): Promise<boolean> {
    return Promise.resolve(false);
  }

  findUnneeded(): Promise<readonly Unneeded[]> {
    return Promise.resolve([]);
  }

  removeUnneeded(): Promise<boolean> {
    return Promise.resolve(false);
  }

  getStatus(): Promise<readonly PlacementObservation[]> {
    return Promise.resolve([]);
  }

  onChange(): () => void {
    return () => undefined;
  }

  private notImplemented(): BackendNotImplementedError {
    return new BackendNotImplementedError(
      'ComfyUI models cannot be started yet: this version lists them and has no ComfyUI runner.',
    );
  }
}
