import { readFile } from 'node:fs/promises';

/** What Docker, containerd and Podman call a container, wherever in the path of its cgroup that stands. */
const CONTAINER_ID = /(?:^|[/:-])([0-9a-f]{64})(?:\.scope)?(?:\/|$)/;

/**
 * The container of a process by its `/proc/<pid>/cgroup`, of version 1 or 2; the innermost where they are nested.
 * `undefined`: it is in none.
 */
export function parseContainerId(cgroup: string): string | undefined {
  for (const line of cgroup.split('\n')) {
    // hierarchy:controllers:path
    const path = line.split(':').slice(2).join(':');
    const ids = path.split('/').flatMap((part) => CONTAINER_ID.exec(part)?.[1] ?? []);
    if (ids.length > 0) return ids.at(-1);
  }
  return undefined;
}

/** The container that `pid` is in; `undefined` where it is in none, is gone, or the system has no `/proc`. */
export async function containerIdOf(pid: number): Promise<string | undefined> {
  try {
    return parseContainerId(await readFile(`/proc/${pid}/cgroup`, 'utf8'));
  } catch {
    return undefined; // gone, hidden, or no /proc: nobody can tell, and nobody is in a container without one
  }
}
