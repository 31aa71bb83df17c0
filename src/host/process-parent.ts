import { rowOf } from './process-identity.js';

/** Far deeper than a server's own processes go; ends a walk that a reused pid has sent round. */
const MAX_DEPTH = 32;

/** Parent of a process; `undefined` when it is gone, or is of another pid namespace. */
type ParentOf = (pid: number) => Promise<number | undefined>;

const parentOnHost: ParentOf = async (pid) => (await rowOf(pid))?.parentPid;

/**
 * Whether `pid` is a process of the server with the main process `serverPid`: itself, a descendant, or one of its
 * process group whose parent has ended.
 */
export async function belongsToServer(pid: number, serverPid: number): Promise<boolean> {
  if ((await nearestAncestor(pid, new Set([serverPid]))) !== undefined) return true;
  const [row, server] = await Promise.all([rowOf(pid), rowOf(serverPid)]);
  return server !== undefined && row?.groupId === server.groupId;
}

/**
 * The nearest of `pid` and its ancestors that is in `roots`. Servers compute in children: vLLM's engine, the Python
 * backend of Triton.
 */
export async function nearestAncestor(
  pid: number,
  roots: ReadonlySet<number>,
  parentOf: ParentOf = parentOnHost,
): Promise<number | undefined> {
  if (roots.size === 0) return undefined;
  let current: number | undefined = pid;
  for (let depth = 0; current !== undefined && depth < MAX_DEPTH; depth += 1) {
    if (roots.has(current)) return current;
    current = await parentOf(current);
  }
  return undefined;
}
