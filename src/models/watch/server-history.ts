import { processIdentity, startedBefore } from '../../host/process-identity.js';
import type { Occupant } from '../room/occupant.js';

type OnGpu = Pick<Occupant, 'gpuId' | 'gpuUuid'>;

/** What is known of one server. */
interface Past {
  /** Of its main process, once that was looked at. */
  startTime?: string;
  /** `keyOf` a GPU → models it has had there. */
  readonly models: Map<string, Set<string>>;
}

/**
 * Which models each server has had on a GPU. A server keeps memory of models that have left, and nobody can tell it from
 * that of the model that is there.
 */
export class ServerHistory {
  private readonly servers = new Map<number, Past>();

  /** To be told often: of what comes and goes in between, nothing is known. */
  note(occupants: readonly Occupant[]): void {
    for (const { pid, modelName, ...gpu } of occupants) {
      if (pid === null) continue;
      const key = keyOf(gpu);
      const past = this.servers.get(pid) ?? { models: new Map<string, Set<string>>() };
      past.models.set(key, (past.models.get(key) ?? new Set()).add(modelName));
      this.servers.set(pid, past);
    }
  }

  /** Forgets servers that have ended; whoever has their pid now is another. */
  async forgetEnded(occupants: readonly Occupant[]): Promise<void> {
    for (const [pid, past] of this.servers) {
      const startTime = (await processIdentity(pid))?.startTime;
      const isSame = past.startTime === undefined || past.startTime === startTime;
      if (startTime !== undefined && isSame) past.startTime = startTime;
      else if (!isSame || !occupants.some((each) => each.pid === pid)) this.servers.delete(pid);
    }
  }

  /** The server has had one model on this GPU, ever. `mayShare`: others might have been there before this service ran. */
  async hadOneModel(pid: number, gpu: OnGpu, mayShare: boolean): Promise<boolean> {
    if (this.servers.get(pid)?.models.get(keyOf(gpu))?.size !== 1) return false;
    return !mayShare || !(await isOlderThanThisService(pid));
  }
}

/** Indices shift, UUIDs do not. */
function keyOf({ gpuId, gpuUuid }: OnGpu): string {
  return gpuUuid ?? String(gpuId);
}

async function isOlderThanThisService(pid: number): Promise<boolean> {
  const [server, service] = await Promise.all([processIdentity(pid), processIdentity(process.pid)]);
  return server !== undefined && service !== undefined && startedBefore(server, service);
}
