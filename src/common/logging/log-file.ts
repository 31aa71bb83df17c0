import { appendFile, close, closeSync, constants, fstat, mkdirSync, open, openSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { DomainError, messageOf, systemCodeOf } from '../errors.js';
import type { LineSink } from './line-queue.js';

const ROTATION_CHECK_MS = 1000;

/** A log that was asked for and cannot be had is a fault of the configuration. */
export class LogFileError extends DomainError {
  readonly code = 'LOG_FILE_FAILED';
  readonly kind = 'internal';
}

/**
 * A log file that survives logrotate in both its ways: it is opened for append, so that `copytruncate` works, and it
 * is opened anew once its path no longer leads to the open file, so that `create` works without a signal. Once it is
 * open, all is asynchronous: a disk that stalls keeps one of libuv's threads, and never the event loop.
 */
export class LogFile implements LineSink {
  private fd: number;
  private checkedAt = performance.now();

  /** @throws LogFileError */
  constructor(
    private readonly path: string,
    private readonly rotationCheckMs = ROTATION_CHECK_MS,
  ) {
    try {
      mkdirSync(dirname(path), { recursive: true });
      // A FIFO that nobody reads is an error then, and would be waited for otherwise.
      closeSync(openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_NONBLOCK));
      this.fd = openSync(path, 'a');
    } catch (error) {
      throw new LogFileError(
        `Cannot open the log file ${path}: ${messageOf(error)}. Set log.file (MIC_LOG_FILE) to a file this service may write.`,
        { path },
        { cause: error },
      );
    }
  }

  async write(text: string): Promise<void> {
    await this.reopenIfRotated();
    await promisify(appendFile)(this.fd, text);
  }

  async close(): Promise<void> {
    await promisify(close)(this.fd);
  }

  private async reopenIfRotated(): Promise<void> {
    if (performance.now() - this.checkedAt < this.rotationCheckMs) return;
    this.checkedAt = performance.now();
    const atPath = await stat(this.path).catch((error: unknown) => {
      if (systemCodeOf(error) === 'ENOENT') return undefined;
      throw error;
    });
    const now = await promisify(fstat)(this.fd);
    if (atPath?.ino === now.ino && atPath.dev === now.dev) return;
    const reopened = await promisify(open)(this.path, 'a');
    await promisify(close)(this.fd);
    this.fd = reopened;
  }
}
