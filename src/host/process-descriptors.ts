import { readdir, readlink } from 'node:fs/promises';

/**
 * Files, sockets and pipes that `pid` has open, as the kernel names them; of `descriptors` alone, if given. None where they
 * are not readable: another user's process, no `/proc`.
 */
async function* openBy(pid: number, descriptors?: readonly string[]): AsyncGenerator<string> {
  const directory = `/proc/${pid}/fd`;
  for (const descriptor of descriptors ?? (await readdir(directory).catch(() => []))) {
    const target = await readlink(`${directory}/${descriptor}`).catch(() => undefined); // closed meanwhile
    if (target !== undefined) yield target;
  }
}

/** Whether `pid` has the file at `path` as its standard output or error. */
export async function writesTo(pid: number, path: string): Promise<boolean> {
  for await (const target of openBy(pid, ['1', '2'])) {
    if (target === path || target === `${path} (deleted)`) return true;
  }
  return false;
}

/** The inodes of the sockets that `pid` has open. */
export async function* socketsOf(pid: number): AsyncGenerator<string> {
  for await (const target of openBy(pid)) {
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
    if (inode !== undefined) yield inode;
  }
}

/** Whether `pid` has one of the sockets with these inodes. */
export async function holdsSocket(pid: number, inodes: ReadonlySet<string>): Promise<boolean> {
  for await (const inode of socketsOf(pid)) if (inodes.has(inode)) return true;
  return false;
}
