import type { Config } from '../config/schema.js';
import type { GpuSample } from '../gpus/gpu-provider.js';

export type Scope = Config['processes']['scope'];

/** What decides whether a process is in scope. */
export interface Surroundings {
  /** It belongs to a server of this service. */
  readonly isManaged: boolean;
  /** Asked for only by the scope that needs it. */
  readonly gpus: () => Promise<readonly GpuSample[]>;
}

/** Why `pid` is out of scope, as a sentence; `undefined` when it is in scope. */
export async function outOfScope(
  pid: number,
  scope: Scope,
  { isManaged, gpus }: Surroundings,
): Promise<string | undefined> {
  if (scope === 'any' || isManaged) return undefined;
  if (scope === 'managed') {
    return `Process ${pid} belongs to no server of this service, and processes.scope is "managed": only its own servers and their processes may be ended.`;
  }
  const samples = await gpus();
  if (samples.some((gpu) => gpu.processes.some((process) => process.pid === pid))) return undefined;
  const unread = samples.filter((gpu) => gpu.error !== undefined).map((gpu) => gpu.id);
  const doubt = unread.length > 0 ? ` that could be read (not: ${unread.join(', ')})` : '';
  return `Process ${pid} holds no memory of a GPU${doubt}, and processes.scope is "gpu": only processes on a GPU may be ended.`;
}
