import { readFileSync } from 'node:fs';

const MOUNTS = '/proc/self/mountinfo';

/**
 * What hangs together when a file of it hangs: the mount that a path is on, by its text, for a path must not be asked that
 * may not answer. On the root of the host, and where nobody tells, the path itself.
 */
export function mountOf(path: string, mounts = readMounts()): string {
  const around = mounts.filter((mount) => mount !== '/' && (path === mount || path.startsWith(`${mount}/`)));
  return around.reduce((longest, mount) => (mount.length > longest.length ? mount : longest), '') || path;
}

/** Source: proc_pid_mountinfo(5); the fifth field is the mount point, blanks in it are octal. */
export function mountPoints(mountinfo: string): string[] {
  return mountinfo.split('\n').flatMap((line) => {
    const point = line.split(' ')[4];
    if (point === undefined) return [];
    return [point.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)))];
  });
}

/** The kernel's own file: it waits for no file system. */
function readMounts(): string[] {
  try {
    return mountPoints(readFileSync(MOUNTS, 'utf8'));
  } catch {
    return []; // not Linux
  }
}
