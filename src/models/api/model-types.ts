import { Injectable } from '@nestjs/common';
import { DomainError } from '../../common/errors.js';
import { Catalog } from '../deployment/catalog.js';
import { quoted } from '../deployment/errors.js';
import { Supervisor } from '../supervisor/supervisor.js';
import type { PlacementRequest } from './start-request.dto.js';

/** The `model_type` of a request is not that of its model. */
export class ModelTypeMismatchError extends DomainError {
  readonly code = 'MODEL_TYPE_MISMATCH';
  readonly kind = 'invalid';
}

/** Older clients send `model_type`, which the catalog knows. */
@Injectable()
export class ModelTypes {
  constructor(
    private readonly supervisor: Supervisor,
    private readonly catalog: Catalog,
  ) {}

  /**
   * A model that has moved to another backend, and is still there in the old one, has both types.
   * @throws ModelTypeMismatchError
   */
  check({ model_name: modelName, model_type: given }: PlacementRequest): void {
    if (given === undefined || given === null) return;
    const placed = this.supervisor.deployments().find((each) => each.modelName === modelName);
    const types = [this.catalog.find(modelName)?.backend, placed?.backend].filter(
      (type) => type !== undefined,
    );
    // That nobody knows the model says another error better.
    if (types.length === 0 || types.includes(given)) return;
    throw new ModelTypeMismatchError(
      `${modelName} is a model of ${types[0]}, and model_type says ${quoted(given)}: leave model_type out, or send ${quoted(types[0] ?? '')}.`,
      { modelName, types },
    );
  }
}
