import { type ProcessRow, rowOf, startedBefore } from './process-identity.js';

/** Looks a process up in the process table. */
type Rows = (pid: number) => Promise<ProcessRow | undefined>;

/**
 * `pid`, its parent, the parent of that and so on. Ends at the first process of the pid namespace, and where a pid was
 * given away again: no parent is younger than its child.
 */
async function* lineage(pid: number, rows: Rows): AsyncGenerator<number> {
  yield pid;
  const seen = new Set([pid]);
  let child = await rows(pid);
  while (child && child.parentPid > 0 && !seen.has(child.parentPid)) {
    const parent = await rows(child.parentPid);
    if (parent && startedBefore(child, parent)) return;
    seen.add(child.parentPid);
    yield child.parentPid;
    child = parent;
  }
}

/** Parent, grandparent and so on, nearest first. */
export async function ancestorsOf(pid: number, rows: Rows = rowOf): Promise<readonly number[]> {
  const ancestors: number[] = [];
  for await (const each of lineage(pid, rows)) if (each !== pid) ancestors.push(each);
  return ancestors;
}

/**
 * The nearest of `pid` and its ancestors that is in `roots`. Servers compute in children: vLLM's engine, the Python
 * backend of Triton.
 */
export async function nearestAncestor(
  pid: number,
  roots: ReadonlySet<number>,
  rows: Rows = rowOf,
): Promise<number | undefined> {
  if (roots.size === 0) return undefined;
  for await (const each of lineage(pid, rows)) if (roots.has(each)) return each;
  return undefined;
}

/**
 * Whether `pid` is a process of the server with the main process `serverPid`: itself, a descendant, or one of its
 * process group whose parent has ended.
 */
export async function belongsToServer(pid: number, serverPid: number): Promise<boolean> {
  if ((await nearestAncestor(pid, new Set([serverPid]))) !== undefined) return true;
  const [row, server] = await Promise.all([rowOf(pid), rowOf(serverPid)]);
  return server !== undefined && row?.groupId === server.groupId;
}
