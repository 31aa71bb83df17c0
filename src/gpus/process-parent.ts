import { rowOf } from '../common/process-identity.js';

/** Far deeper than a server's own processes go; ends a walk that a reused pid has sent round. */
const MAX_DEPTH = 32;

/** Parent of a process; `undefined` when it is gone, or is of another pid namespace. */
type ParentOf = (pid: number) => Promise<number | undefined>;

const parentOnHost: ParentOf = async (pid) => (await rowOf(pid))?.parentPid;

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
