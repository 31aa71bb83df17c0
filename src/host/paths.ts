import { access, lstat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { systemCodeOf } from '../common/errors.js';
import { fileWork } from '../common/files/file-work.js';

/** A path that nothing has: of what only may not be looked at, nobody can tell. @throws FilesStuckError */
export async function isMissing(path: string): Promise<boolean> {
  const code = await fileWork.run(path, () => codeOf(access(path)));
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/**
 * On the way to a missing path is a link whose end is not there: seen from elsewhere, as in a container, it may be.
 * @throws FilesStuckError
 */
export function isBehindLink(path: string): Promise<boolean> {
  return fileWork.run(path, () => endsAtLink(path));
}

async function endsAtLink(path: string): Promise<boolean> {
  let at = resolve(path);
  for (;;) {
    try {
      return (await lstat(at)).isSymbolicLink();
    } catch {
      const parent = dirname(at);
      if (parent === at) return false;
      at = parent;
    }
  }
}

/** Whether this process may read it. @throws FilesStuckError */
export async function isReadable(path: string): Promise<boolean> {
  return (await fileWork.run(path, () => codeOf(access(path)))) === undefined;
}

async function codeOf(work: Promise<unknown>): Promise<string | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return systemCodeOf(error) ?? '';
  }
}
