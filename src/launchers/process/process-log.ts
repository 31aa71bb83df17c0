import { constants, createReadStream, createWriteStream } from 'node:fs';
import { type FileHandle, mkdir, open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Mutex } from 'async-mutex';
import { systemCodeOf } from '../../common/errors.js';
import { fileWork, stateWork } from '../../common/files/file-work.js';
import { otherThanFile, UnfitFileError } from '../../common/files/regular-file.js';
import { lastLines, MAX_TAIL_BYTES } from '../output-text.js';

/** What is in the place of a log may be a FIFO: to open it must not wait for its other end. */
const READ = constants.O_RDONLY | constants.O_NONBLOCK;
const APPEND = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;

/** How often what came during a copy is copied as well; a server that writes without a pause must not hold up the cut. */
const MAX_ROUNDS = 4;

/** A log file opened for a server. */
export interface OpenLog {
  readonly handle: FileHandle;
  /** Where the output of this launch begins, bytes. */
  readonly offset: number;
}

/** Of one launch, whose output begins at `offset`, and of which what was set aside is not older than `since`. */
export interface LaunchLog {
  readonly name: string;
  readonly offset: number;
  readonly since: Date;
}

/**
 * `<state dir>/logs/<name>.log`: what servers write. The server holds the file itself, no pipe to this service, so
 * that it can go on writing when the service has ended. It appends: a file that is cut goes on from its new end.
 *
 * At half of the bound, what was written last goes to `<name>.log.1`, and the file is emptied: both together are within it.
 */
export class ProcessLogs {
  private readonly directory: string;
  private readonly cuts = new Mutex();

  constructor(
    stateDir: string,
    private readonly maxBytes: number,
  ) {
    this.directory = join(stateDir, 'logs');
  }

  pathOf(name: string): string {
    return join(this.directory, `${name}.log`);
  }

  /** Opens the log for appending; empties it first when it has grown beyond the limit. @throws FilesStuckError, a system error */
  openForLaunch(name: string): Promise<OpenLog> {
    return fileWork.run(
      this.pathOf(name),
      () => this.open(name),
      ({ handle }) => handle.close(),
    );
  }

  /**
   * Sets aside what is beyond half of the bound, with what the server writes meanwhile: only what comes in the moment between
   * the last look and the cut is lost. Where the disk has no room for the copy, it goes.
   * @returns the size of the file then, bytes
   * @throws FilesStuckError, a system error
   */
  async bound(log: LaunchLog): Promise<number> {
    const path = this.pathOf(log.name);
    const size = (await stateWork.run(path, () => sizeOf(path))) ?? 0;
    if (size <= this.maxBytes / 2) return size;
    // One for all logs: a disk that hangs just then has one thread by it.
    return this.cuts.runExclusive(() => this.cut(log));
  }

  /** The last `count` lines of this launch; empty when there is no file. @throws FilesStuckError, a system error */
  tail(log: LaunchLog, count: number): Promise<readonly string[]> {
    return fileWork.run(this.pathOf(log.name), () => this.read(log, count));
  }

  private async open(name: string): Promise<OpenLog> {
    await mkdir(this.directory, { recursive: true, mode: 0o750 });
    const path = this.pathOf(name);
    const handle = await open(path, APPEND, 0o640);
    try {
      const stats = await handle.stat();
      const other = otherThanFile(stats);
      if (other !== undefined) throw new UnfitFileError(`${path} is ${other}, and no regular file`);
      const { size } = stats;
      if (size <= this.maxBytes) return { handle, offset: size };
      await handle.truncate(0);
      return { handle, offset: 0 };
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  private async cut(log: LaunchLog): Promise<number> {
    const path = this.pathOf(log.name);
    const size = (await sizeOf(path)) ?? 0;
    if (size <= this.maxBytes / 2) return size;
    const handle = await open(path, 'r+');
    try {
      // The last part alone, and nothing of the launches before: their output is not this one's.
      const begin = (await this.wasCut(log)) || size < log.offset ? 0 : log.offset;
      await this.setAside(log.name, Math.max(begin, size - Math.floor(this.maxBytes / 2)), size);
    } finally {
      await handle.truncate(0);
      await handle.close();
    }
    return 0;
  }

  private async read(log: LaunchLog, count: number): Promise<readonly string[]> {
    const path = this.pathOf(log.name);
    const size = await sizeOf(path);
    if (size === undefined) return [];
    // A file that is shorter than the offset was emptied meanwhile: all of it is newer.
    const wasCut = (await this.wasCut(log)) || size < log.offset;
    const written = await readEnd(path, wasCut ? 0 : log.offset, MAX_TAIL_BYTES);
    if (!wasCut || written.length >= MAX_TAIL_BYTES) return lastLines(written.toString('utf8'), count);
    const before = await readEnd(asideOf(path), 0, MAX_TAIL_BYTES - written.length);
    return lastLines(Buffer.concat([before, written]).toString('utf8'), count);
  }

  private async setAside(name: string, start: number, end: number): Promise<void> {
    const path = this.pathOf(name);
    const aside = asideOf(path);
    try {
      await copyPart(path, aside, { start, end, flags: 'w' });
      let copied = end;
      for (let round = 0; round < MAX_ROUNDS; round += 1) {
        const grown = (await sizeOf(path)) ?? 0;
        if (grown <= copied || grown - start > this.maxBytes) return;
        await copyPart(path, aside, { start: copied, end: grown, flags: 'a' });
        copied = grown;
      }
    } catch {
      await rm(aside, { force: true });
    }
  }

  /** Something of this launch was set aside. */
  private async wasCut({ name, since }: LaunchLog): Promise<boolean> {
    try {
      return (await stat(asideOf(this.pathOf(name)))).mtimeMs >= since.getTime();
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return false;
      throw error;
    }
  }
}

function asideOf(path: string): string {
  return `${path}.1`;
}

async function copyPart(
  from: string,
  to: string,
  part: { start: number; end: number; flags: 'w' | 'a' },
): Promise<void> {
  const { start, end, flags } = part;
  const copy = createWriteStream(to, { mode: 0o640, flags });
  await pipeline(end > start ? createReadStream(from, { start, end: end - 1 }) : [], copy);
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** The last bytes of a file from `begin` on, so many at most; empty when there is no file. */
async function readEnd(path: string, begin: number, maxBytes: number): Promise<Buffer> {
  let handle: FileHandle;
  try {
    handle = await open(path, READ);
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return Buffer.alloc(0);
    throw error;
  }
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) return Buffer.alloc(0);
    const { size } = stats;
    const from = Math.max(begin, size - maxBytes);
    const buffer = Buffer.alloc(Math.max(0, size - from));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, from);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}
