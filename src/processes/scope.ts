import type { Config } from '../config/schema.js';
import type { GpuSample } from '../gpus/gpu-provider.js';
import type { GpuTenant } from '../gpus/gpu-tenants.js';

export type Scope = Config['processes']['scope'];

/** What decides whether a process is in scope. Each part is asked for only by the scopes that need it. */
export interface Surroundings {
  /** Of the process in question, nearest first. */
  ancestors(): Promise<readonly number[]>;
  tenants(): readonly GpuTenant[];
  gpus(): Promise<readonly GpuSample[]>;
}

/** Why `pid` is out of scope, as a sentence; `undefined` when it is in scope. */
export async function outOfScope(
  pid: number,
  scope: Scope,
  surroundings: Surroundings,
): Promise<string | undefined> {
  const servers = new Set(surroundings.tenants().map((tenant) => tenant.pid));
  if (scope === 'any' || servers.has(pid)) return undefined;
  switch (scope) {
    case 'gpu': {
      const gpus = await surroundings.gpus();
      if (gpus.some((gpu) => gpu.processes.some((process) => process.pid === pid))) return undefined;
      const unread = gpus.filter((gpu) => gpu.error !== undefined).map((gpu) => gpu.id);
      const doubt = unread.length > 0 ? ` that could be read (not: ${unread.join(', ')})` : '';
      return `Process ${pid} holds no memory of a GPU${doubt}, and processes.scope is "gpu": only processes on a GPU may be ended.`;
    }
    case 'managed':
      if ((await surroundings.ancestors()).some((ancestor) => servers.has(ancestor))) return undefined;
      return `Process ${pid} is no server of this service, and processes.scope is "managed": only its own servers and their children may be ended.`;
  }
}
