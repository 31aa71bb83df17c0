import { deadline, orAborted } from '../../common/deadline.js';
import type { DeploymentWorker } from '../worker/deployment-worker.js';
import { StopTimeoutError } from '../deployment/errors.js';
import type { Placement } from '../deployment/placement.js';

/** Slack, ms, over the runner's own deadline before a waiting stop is answered. */
const STOP_ANSWER_SLACK_MS = 2000;

/**
 * Waits until the backend has let go of a GPU.
 * @throws StopTimeoutError at the deadline: the stop goes on in the background; and what `done` rejects with
 */
export async function untilLetGo(
  worker: DeploymentWorker,
  gpuId: number,
  done: Promise<Placement>,
): Promise<Placement> {
  const { modelName } = worker.state;
  const limitMs = worker.stopLimitMs(gpuId) + STOP_ANSWER_SLACK_MS;
  const limit = deadline(limitMs);
  return orAborted(done, limit).catch((error: unknown) => {
    if (error !== limit.reason) throw error;
    throw new StopTimeoutError(
      `${modelName} on GPU ${gpuId} was not stopped within ${Math.ceil(limitMs / 1000)} s; the stop goes on. Its status tells when it is done.`,
      { modelName, gpuId },
    );
  });
}
