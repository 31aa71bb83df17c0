import { processIdentity, startedBefore } from '../../common/process-identity.js';
import type { Occupant } from './occupant.js';

/**
 * Which models each server has had on a GPU. A server keeps memory of models that have left, and nobody can tell it from
 * that of the model that is there.
 */
export class ServerHistory {
  private guests = new Map<string, ReadonlySet<string>>();

  /** To be told often: of what comes and goes in between, nothing is known. */
  note(occupants: readonly Occupant[]): void {
    const now = new Map<string, Set<string>>();
    for (const occupant of occupants) {
      if (occupant.pid === null) continue;
      const key = keyOf(occupant.pid, occupant.gpuId);
      now.set(key, (now.get(key) ?? new Set(this.guests.get(key))).add(occupant.modelName));
    }
    this.guests = now;
  }

  /** The server has had one model on this GPU, ever. `mayShare`: others might have been there before this service ran. */
  async hadOneModel(pid: number, gpuId: number, mayShare: boolean): Promise<boolean> {
    if (this.guests.get(keyOf(pid, gpuId))?.size !== 1) return false;
    return !mayShare || !(await isOlderThanThisService(pid));
  }
}

async function isOlderThanThisService(pid: number): Promise<boolean> {
  const [server, service] = await Promise.all([processIdentity(pid), processIdentity(process.pid)]);
  return server !== undefined && service !== undefined && startedBefore(server, service);
}

function keyOf(pid: number, gpuId: number): string {
  return `${pid} ${gpuId}`;
}
