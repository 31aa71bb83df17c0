import { DomainError, messageOf } from '../../common/errors.js';
import type { PlacementError } from '../../state/desired-state.js';

/** Anything thrown, as a placement shows it. */
export function toPlacementError(error: unknown): PlacementError {
  if (!(error instanceof DomainError)) return { code: 'INTERNAL_ERROR', message: messageOf(error) };
  const log = error.facts.log;
  return { code: error.code, message: error.message, ...(isLines(log) && { log }) };
}

function isLines(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((line) => typeof line === 'string');
}
