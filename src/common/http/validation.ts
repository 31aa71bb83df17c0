import { ValidationPipe, type ValidationError } from '@nestjs/common';
import { instanceToPlain, plainToInstance } from 'class-transformer';
import { validate } from 'class-validator';
import { DomainError } from '../errors.js';

export class ValidationFailedError extends DomainError {
  readonly code = 'VALIDATION_FAILED';
  readonly kind = 'invalid';
}

function sentences(errors: readonly ValidationError[], parent = ''): string[] {
  return errors.flatMap((error) => {
    const path = parent + error.property;
    // Whatever else is asked of it: of nothing, one sentence says all.
    if (error.value === undefined && error.constraints) return [`${path} is missing`];
    return [
      ...Object.values(error.constraints ?? {}).map((text) => `${parent}${text}`),
      ...sentences(error.children ?? [], `${path}.`),
    ];
  });
}

/** Class-validator over every DTO; all faults in one sentence, 400. What is unknown: `KnownInput`. */
export function validationPipe(): ValidationPipe {
  return new ValidationPipe({
    transform: true,
    whitelist: true,
    // Given, since Nest would load both packages a second time, whole.
    validatorPackage: { validate },
    transformerPackage: { plainToInstance, classToPlain: instanceToPlain },
    exceptionFactory: (errors) =>
      new ValidationFailedError(
        `Invalid request: ${sentences(errors).join('; ') || 'a JSON object is expected'}.`,
      ),
  });
}
