import { closeSync, fstatSync, mkdirSync, openSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { DomainError, messageOf } from '../errors.js';

const ROTATION_CHECK_MS = 1000;

/** A log that was asked for and cannot be had is a fault of the configuration. */
export class LogFileError extends DomainError {
  readonly code = 'LOG_FILE_FAILED';
  readonly kind = 'internal';
}

/**
 * A log file that survives logrotate in both its ways: it is opened for append, so that `copytruncate` works, and it
 * is opened anew once its path no longer leads to the open file, so that `create` works without a signal.
 * A disk that is full loses lines, never the service.
 */
export class LogFile {
  private fd: number;
  private checkedAt = performance.now();
  private failing = false;
  private isClosed = false;

  /** @throws LogFileError */
  constructor(
    private readonly path: string,
    private readonly rotationCheckMs = ROTATION_CHECK_MS,
  ) {
    try {
      mkdirSync(dirname(path), { recursive: true });
      this.fd = openSync(path, 'a');
    } catch (error) {
      throw new LogFileError(
        `Cannot open the log file ${path}: ${messageOf(error)}. Set log.file (MIC_LOG_FILE) to a file this service may write.`,
        { path },
        { cause: error },
      );
    }
  }

  /** After `close` it writes nothing: the descriptor may be another file's by then. */
  write(line: string): void {
    if (this.isClosed) return;
    try {
      this.reopenIfRotated();
      writeSync(this.fd, line);
      this.failing = false;
    } catch (error) {
      if (!this.failing) process.stderr.write(`Cannot write to ${this.path}: ${String(error)}\n`);
      this.failing = true;
    }
  }

  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    closeSync(this.fd);
  }

  private reopenIfRotated(): void {
    if (performance.now() - this.checkedAt < this.rotationCheckMs) return;
    this.checkedAt = performance.now();
    const atPath = statSync(this.path, { throwIfNoEntry: false });
    const open = fstatSync(this.fd);
    if (atPath?.ino === open.ino && atPath.dev === open.dev) return;
    const reopened = openSync(this.path, 'a');
    closeSync(this.fd);
    this.fd = reopened;
  }
}
