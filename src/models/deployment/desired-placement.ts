import type { DeploymentOptions } from '../../runners/deployment.js';
import type { Runner } from '../../runners/runner.js';
import type { DesiredPlacement } from '../../state/desired-state.js';
import type { HeldGpu } from './held-gpus.js';
import type { Placement } from './placement.js';

/** What of a placement is kept on disk. */
export function desiredOf(
  { gpuId, gpus }: Pick<Placement, 'gpuId' | 'gpus'>,
  wanted: DesiredPlacement['wanted'],
): DesiredPlacement {
  const isTold = gpus.some(({ id, uuid }) => uuid !== null || (gpus.length === 1 && id !== gpuId));
  return {
    gpu_id: gpuId,
    ...(gpus.length > 1 && { gpu_ids: gpus.map(({ id }) => id) }),
    ...(isTold && { gpus: gpus.map(({ id, uuid }) => ({ gpu_id: id, gpu_uuid: uuid })) }),
    wanted,
  };
}

/** Of what an earlier version has written, the UUIDs are not known. */
export function heldBy(
  { gpu_id: gpuId, gpu_ids: gpuIds, gpus }: DesiredPlacement,
  options: DeploymentOptions,
  runner: Pick<Runner, 'gpusOf'>,
): readonly HeldGpu[] {
  if (gpus) return gpus.map(({ gpu_id: id, gpu_uuid: uuid }) => ({ id, uuid }));
  return (gpuIds ?? runner.gpusOf(gpuId, options)).map((id) => ({ id, uuid: null }));
}
