import { randomUUID } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, open, readlink, realpath, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isDiskFull, systemCodeOf } from '../../common/errors.js';
import { type FileWork, fileWork } from '../../common/files/file-work.js';
import {
  isWithin,
  otherThanFile,
  readRegular,
  requireWithin,
  UnfitFileError,
} from '../../common/files/regular-file.js';

/** Configurations of models have some kilobytes; the largest, with all its labels and warmups, stays far below, bytes. */
const MAX_BYTES = 256 * 1024;
/** Of a mode, what a file that is replaced hands on to the new one. */
const PERMISSIONS = 0o777;

/**
 * The files of a model repository that this service reads and writes. Others can write there, and this service may be root:
 * what it reads and writes lies in the repository, also where links lead on the way to it, and what it writes is no link. Links
 * within the repository are followed.
 */
export class RepositoryFiles {
  constructor(
    private readonly root: string,
    private readonly work: FileWork = fileWork,
  ) {}

  /** @throws FilesStuckError, UnfitFileError, a system error */
  read(model: string, name: string): Promise<string> {
    const path = join(this.root, model, name);
    return this.work.run(path, async () => {
      const directory = await realpath(this.root);
      return readRegular(await this.within(path, directory), { maxBytes: MAX_BYTES, directory });
    });
  }

  /** What cannot be replaced is said. A model that has no directory passes. @throws as `replace` */
  checkReplaceable(model: string, name: string): Promise<void> {
    const path = join(this.root, model, name);
    return this.work.run(path, async () => {
      try {
        await this.within(join(this.root, model), await realpath(this.root));
        requireReplaceable(path, await lstat(path));
      } catch (error) {
        if (systemCodeOf(error) !== 'ENOENT') throw error;
      }
    });
  }

  /**
   * Replaces the file in one step, or writes none. Not synced: after a power cut it is written anew with the first load.
   * Where the disk is full, one that does not grow is written over instead, as a stop makes it shorter: what frees needs no room.
   * @throws FilesStuckError, UnfitFileError, a system error
   */
  replace(model: string, name: string, text: string): Promise<void> {
    return this.inDirectory(model, async (directory) => {
      const path = join(directory, name);
      const before = await lstat(path).catch((error: unknown) => {
        if (systemCodeOf(error) === 'ENOENT') return undefined;
        throw error;
      });
      if (before) requireReplaceable(join(this.root, model, name), before);
      const temporary = join(directory, `.${name}.${randomUUID()}`);
      try {
        await writeNew(temporary, text, before?.isFile() === true ? before : undefined);
        // Never through a link: what has the name by now is replaced itself.
        await rename(temporary, path);
      } catch (error) {
        await rm(temporary, { force: true });
        if (!before || !isDiskFull(error) || !(await writeOver(path, text, before))) throw error;
      }
    });
  }

  /** A link is not this service's, and stays. @throws FilesStuckError, UnfitFileError, a system error */
  remove(model: string, name: string): Promise<void> {
    return this.inDirectory(model, async (directory) => {
      const path = join(directory, name);
      try {
        if (!(await lstat(path)).isSymbolicLink()) await rm(path);
      } catch (error) {
        if (systemCodeOf(error) !== 'ENOENT') throw error;
      }
    });
  }

  /** @param work gets a path that leads to the model's directory, whatever becomes of its name meanwhile */
  private inDirectory(model: string, work: (directory: string) => Promise<void>): Promise<void> {
    const path = join(this.root, model);
    return this.work.run(path, async () => {
      const root = await realpath(this.root);
      const real = await this.within(path, root);
      const handle = await open(real, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
      try {
        await requireWithin(handle, path, root);
        await work((await ownPath(handle)) ?? real);
      } finally {
        await handle.close();
      }
    });
  }

  /** The real path of what lies in the repository. @param root its real path */
  private async within(path: string, root: string): Promise<string> {
    const real = await realpath(path);
    if (isWithin(real, root)) return real;
    throw new UnfitFileError(
      `${path} leads out of the model repository, to ${real}: put it into the repository, where links may lead to other places within it`,
    );
  }
}

/** A path of what is open that no renaming changes. Linux has one; elsewhere `undefined`. */
async function ownPath({ fd }: FileHandle): Promise<string | undefined> {
  const path = `/proc/self/fd/${fd}`;
  return readlink(path).then(
    () => path,
    () => undefined,
  );
}

/** A directory is said by the system itself. */
function requireReplaceable(path: string, stats: Stats): void {
  const other = stats.isDirectory() ? undefined : otherThanFile(stats);
  if (other !== undefined)
    throw new UnfitFileError(`${path} is ${other}, and this service writes a file there: remove it`);
}

/** @param before whose owner and permissions it gets */
async function writeNew(path: string, text: string, before: Stats | undefined): Promise<void> {
  const handle = await open(path, 'wx');
  try {
    if (before) {
      // Who is not root may not give it away.
      await handle.chown(before.uid, before.gid).catch(() => undefined);
      await handle.chmod(before.mode & PERMISSIONS);
    }
    await handle.writeFile(text);
  } finally {
    await handle.close();
  }
}

/** By no other name, and in no more room. @returns whether it was written */
async function writeOver(path: string, text: string, before: Stats): Promise<boolean> {
  const bytes = Buffer.from(text);
  if (bytes.length > before.size) return false;
  const handle = await open(path, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const { ino, nlink } = await handle.stat();
    if (ino !== before.ino || nlink !== 1) return false;
    await handle.write(bytes, 0, bytes.length, 0);
    await handle.truncate(bytes.length);
    return true;
  } finally {
    await handle.close();
  }
}
