import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCodeOf } from '../../common/errors.js';
import { lastLines, MAX_TAIL_BYTES } from '../output-text.js';

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
    const handle = await open(this.pathOf(name), 'a', 0o640);
    try {
      const { size } = await handle.stat();
      if (size <= this.maxBytes) return { handle, offset: size };
      await handle.truncate(0);
      return { handle, offset: 0 };
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** The last `count` lines from `offset` on; empty when there is no file. */
  async tail(name: string, offset: number, count: number): Promise<readonly string[]> {
    let handle: FileHandle;
    try {
      handle = await open(this.pathOf(name), 'r');
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return [];
      throw error;
    }
    try {
      const { size } = await handle.stat();
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
