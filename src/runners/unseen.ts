import { UnusableAnswerError } from '../common/http/http-client.js';
import type { PlacementPhase } from './observation.js';

/** Who talks nonsense is there, and says nothing of the model. Of who does not answer, the next probe may. */
export function unseenAs(error: unknown): PlacementPhase {
  return error instanceof UnusableAnswerError ? 'unknown' : 'silent';
}
