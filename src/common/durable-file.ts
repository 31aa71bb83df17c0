import { open, realpath, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import { messageOf, systemCodeOf } from './errors.js';

/** The file is replaced, but a power cut may still bring the one before back. */
export class NotDurableError extends Error {}

/** Syncs a directory. @throws a system error */
export type SyncDirectory = (directory: string) => Promise<void>;

interface OpenDirectory {
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Codes of file systems that cannot sync a directory (some network and FUSE ones): theirs is all that is to be had. */
const CANNOT_SYNC = new Set(['EINVAL', 'ENOTSUP', 'ENOSYS']);

/** Makes the names in `directory` survive a power cut, where its file system can. @throws a system error */
export async function syncDirectory(
  directory: string,
  openDirectory: (path: string) => Promise<OpenDirectory> = open,
): Promise<void> {
  const handle = await openDirectory(directory);
  try {
    await handle.sync();
  } catch (error) {
    if (!CANNOT_SYNC.has(systemCodeOf(error) ?? '')) throw error;
  } finally {
    await handle.close();
  }
}

/**
 * Replaces the file at `path`. A reader finds the old text or the new one, whole; the new one is synced, its name is not.
 *
 * write-file-atomic writes once, and takes a part for all when the disk is full. Node's `writeFile` goes on until all is
 * written, or fails: it fills the temporary file, and the library does the rest.
 * @throws a system error, and the old text stands
 */
export async function writeWhole(path: string, text: string, mode?: number): Promise<void> {
  // The library waits for the promise; its types do not say so.
  const hook = { tmpfileCreated: (temporary: string): Promise<void> => writeFile(temporary, text) };
  await writeFileAtomic(path, '', { ...(mode !== undefined && { mode }), ...hook });
}

/**
 * Replaces the file at `path`. Whoever reads it finds the old text or the new one, whole; when this resolves, the new one
 * is there after a power cut, too: the file was synced, renamed, and then its directory synced, which has the name.
 * @throws a system error, and the old text stands; NotDurableError, and the new one does
 */
export async function replaceFile(
  path: string,
  text: string,
  mode: number,
  sync: SyncDirectory = syncDirectory,
): Promise<void> {
  await writeWhole(path, text, mode);
  try {
    // A link at `path` stays, and the file that it leads to is replaced.
    await sync(dirname(await realpath(path)));
  } catch (error) {
    throw new NotDurableError(messageOf(error), { cause: error });
  }
}
