import { readFile } from 'node:fs/promises';

/** A number of `/proc/<pid>/status`. `column` counts the values of the line from 0. @throws when it is not there */
export function statusField(status: string, key: string, column: number): number {
  const line = status.split('\n').find((each) => each.startsWith(`${key}:`));
  const value = Number(line?.split(/\s+/)[column + 1]);
  if (Number.isNaN(value)) throw new Error(`/proc/<pid>/status has no ${key}`);
  return value;
}

/** The effective user id in `/proc/<pid>/status`. */
export function effectiveUserOf(status: string): number {
  return statusField(status, 'Uid', 1);
}

/** Name of a user id by the text of `/etc/passwd`; the number itself where nobody has it. */
export function userNameOf(userId: number, passwd: string): string {
  const entry = passwd.split('\n').find((line) => line.split(':')[2] === String(userId));
  const name = entry?.split(':')[0];
  return name === undefined || name === '' ? String(userId) : name;
}

/** Who runs `pid`: the name of its effective user; `null` where it cannot be seen. */
export async function userOf(pid: number): Promise<string | null> {
  let userId: number;
  try {
    userId = effectiveUserOf(await readFile(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return null; // gone, hidden, or no /proc
  }
  // A service in a container reads its own list, which may not know the host's users: the number then.
  const passwd = await readFile('/etc/passwd', 'utf8').catch(() => '');
  return userNameOf(userId, passwd);
}
