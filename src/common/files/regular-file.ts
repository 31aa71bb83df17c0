import { closeSync, constants, fstatSync, openSync, readSync, type Stats, statSync } from 'node:fs';
import { type FileHandle, open, readlink, stat } from 'node:fs/promises';
import { posix } from 'node:path';

/** Larger than any file that this service writes or expects of others, bytes. */
export const MAX_FILE_BYTES = 64 * 1024 * 1024;

/** A FIFO opened so is open at once, and a terminal does not become that of this process. */
const FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;

/** What is in the place of a file cannot be read as one. The message begins with its path. */
export class UnfitFileError extends Error {}

export interface ReadLimits {
  /** A larger file is refused, bytes. */
  readonly maxBytes?: number;
  /** Real path of a directory that the file must lie in, and the path that is read is a real one: no link is followed. */
  readonly directory?: string;
}

/**
 * The text of a regular file of a sane size; a read of anything else (a FIFO, a device) may never end. The look before the
 * file is opened spares a device what opening it does; the look after it is the one that counts.
 * @throws UnfitFileError, a system error
 */
export async function readRegular(path: string, limits: ReadLimits = {}): Promise<string> {
  requireRegular(path, await stat(path), limits);
  const { directory } = limits;
  const handle = await open(path, directory === undefined ? FLAGS : FLAGS | constants.O_NOFOLLOW);
  try {
    const stats = await handle.stat();
    requireRegular(path, stats, limits);
    if (directory !== undefined) await requireWithin(handle, path, directory);
    const buffer = Buffer.alloc(Math.max(stats.size, 1));
    let length = 0;
    while (length < buffer.length) {
      const { bytesRead } = await handle.read(buffer, length, buffer.length - length, length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return buffer.toString('utf8', 0, length);
  } finally {
    await handle.close();
  }
}

/** The same before there is anything to wait for: at boot. @throws UnfitFileError, a system error */
export function readRegularSync(path: string, limits: ReadLimits = {}): string {
  requireRegular(path, statSync(path), limits);
  const fd = openSync(path, FLAGS);
  try {
    const stats = fstatSync(fd);
    requireRegular(path, stats, limits);
    const buffer = Buffer.alloc(Math.max(stats.size, 1));
    let length = 0;
    while (length < buffer.length) {
      const bytesRead = readSync(fd, buffer, length, buffer.length - length, length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    return buffer.toString('utf8', 0, length);
  } finally {
    closeSync(fd);
  }
}

/** By the text of both, which are absolute: whoever asks of files asks with real paths. */
export function isWithin(path: string, directory: string): boolean {
  const way = posix.relative(directory, path);
  return way !== '..' && !way.startsWith('../');
}

/**
 * What is open lies in the directory, whatever its path leads to by now. Only Linux tells; elsewhere the path that was
 * looked at before must do.
 * @throws UnfitFileError
 */
export async function requireWithin(handle: FileHandle, path: string, directory: string): Promise<void> {
  if (process.platform !== 'linux') return;
  const opened = await readlink(`/proc/self/fd/${handle.fd}`);
  if (!isWithin(opened, directory)) throw new UnfitFileError(`${path} leads out of ${directory}`);
}

/** What is in the place of a regular file, in words; `undefined`: one is. */
export function otherThanFile(stats: Stats): string | undefined {
  if (stats.isFile()) return undefined;
  if (stats.isSymbolicLink()) return 'a link';
  if (stats.isDirectory()) return 'a directory';
  if (stats.isFIFO()) return 'a FIFO';
  return stats.isSocket() ? 'a socket' : 'a device';
}

/** Of a directory, which cannot block, the read itself says what it is: EISDIR, which callers know. */
function requireRegular(path: string, stats: Stats, { maxBytes = MAX_FILE_BYTES }: ReadLimits): void {
  if (stats.isDirectory()) return;
  const other = otherThanFile(stats);
  if (other !== undefined) throw new UnfitFileError(`${path} is ${other}, and no regular file`);
  if (stats.size > maxBytes)
    throw new UnfitFileError(`${path} has ${stats.size} bytes, more than the ${maxBytes} that are read`);
}
