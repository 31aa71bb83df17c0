import { appendFile, fstatSync } from 'node:fs';
import { promisify } from 'node:util';
import type { LineSink } from './line-queue.js';

const FD = 1;

/**
 * The standard output. Node writes to a pipe or a socket without waiting, and says when it is done; to a file it waits for
 * the disk, so that a file is written here by libuv's threads.
 */
export class StandardOutput implements LineSink {
  private readonly isFile = fstatSync(FD).isFile();
  /** Each write tells its own error. Without a listener, a reader that has gone would end the service. */
  private readonly onError = (): void => undefined;

  constructor() {
    if (!this.isFile) process.stdout.on('error', this.onError);
  }

  async write(text: string): Promise<void> {
    if (this.isFile) await promisify(appendFile)(FD, text);
    else await this.send(text);
  }

  close(): Promise<void> {
    if (!this.isFile) process.stdout.off('error', this.onError);
    return Promise.resolve();
  }

  private send(text: string): Promise<void> {
    return new Promise((resolve, reject) => {
      process.stdout.write(text, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
  }
}
