import { constants } from 'node:fs';
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCodeOf } from '../../common/errors.js';
import { fileWork } from '../../common/files/file-work.js';
import { otherThanFile, UnfitFileError } from '../../common/files/regular-file.js';
import { lastLines, MAX_TAIL_BYTES } from '../output-text.js';

/** What is in the place of a log may be a FIFO: to open it must not wait for its other end. */
const READ = constants.O_RDONLY | constants.O_NONBLOCK;
const APPEND = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;

/** A log file opened for a server. */
export interface OpenLog {
  readonly handle: FileHandle;
  /** Where the output of this launch begins, bytes. */
  readonly offset: number;
}

/**
 * `<state dir>/logs/<name>.log`: what servers write. The server holds the file itself, no pipe to this service, so
 * that it can go on writing when the service has ended.
 */
export class ProcessLogs {
  private readonly directory: string;

  constructor(
    stateDir: string,
    private readonly maxBytes: number,
  ) {
    this.directory = join(stateDir, 'logs');
  }

  pathOf(name: string): string {
    return join(this.directory, `${name}.log`);
  }

  /** Opens the log for appending; empties it first when it has grown beyond the limit. */
  async openForLaunch(name: string): Promise<OpenLog> {
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

  /** The last `count` lines from `offset` on; empty when there is no file. @throws FilesStuckError, a system error */
  tail(name: string, offset: number, count: number): Promise<readonly string[]> {
    return fileWork.run(this.pathOf(name), () => this.read(name, offset, count));
  }

  private async read(name: string, offset: number, count: number): Promise<readonly string[]> {
    let handle: FileHandle;
    try {
      handle = await open(this.pathOf(name), READ);
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return [];
      throw error;
    }
    try {
      const stats = await handle.stat();
      if (!stats.isFile()) return [];
      const { size } = stats;
      // A file that is shorter than the offset was emptied meanwhile: all of it is newer.
      const begin = size < offset ? 0 : offset;
      const from = Math.max(begin, size - MAX_TAIL_BYTES);
      const buffer = Buffer.alloc(size - from);
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, from);
      return lastLines(buffer.toString('utf8', 0, bytesRead), count);
    } finally {
      await handle.close();
    }
  }
}
