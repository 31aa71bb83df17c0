import { GpuCordonedError } from '../../gpus/health/errors.js';
import { lastingName } from '../../gpus/health/gpu-cordons.js';
import type { Placement } from '../deployment/placement.js';
import type { UnitState } from '../deployment/deployment-state.js';
import type { DeploymentRecords } from './deployment-records.js';
import type { WorkerServices } from './worker-services.js';

/**
 * Those of `placements` that would be started on a cordoned GPU are in ERROR, and say what they were lost by. Says whether
 * there were any.
 * @param absence why something is missing, by the last look
 */
export async function giveUpCordoned(
  { deployment }: UnitState,
  placements: readonly Placement[],
  records: DeploymentRecords,
  { cordons }: WorkerServices,
  absence: string | undefined,
): Promise<boolean> {
  let isAny = false;
  if (deployment.needs.offGpu) return false;
  for (const placement of placements) {
    const refusal = cordons.refusal(placement.held.present, lastingName);
    if (!refusal) continue;
    isAny = true;
    const lost = placement.history.lastCrash?.message ?? absence;
    const words = `${refusal.message} It is not brought back there${lost === undefined ? '' : ` (${lost})`}.`;
    await records.failed([placement], new GpuCordonedError(words, refusal.facts));
  }
  return isAny;
}
