import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { Inject, Injectable } from '@nestjs/common';
import { replaceFile } from '../common/durable-file.js';
import { messageOf, systemCodeOf } from '../common/errors.js';
import { FilesStuckError, fileWork, stateWork } from '../common/files/file-work.js';
import { readRegular } from '../common/files/regular-file.js';
import { LOGGER, type Logger } from '../common/logging/logger.js';
import { CONFIG } from '../config/config.module.js';
import type { Config } from '../config/schema.js';
import { StateWriteError } from './desired-state.store.js';
import { type GpuCordonsRecord, gpuCordonsSchema } from './gpu-cordons.js';

const FILE_NAME = 'gpu-cordons.json';

/** The cordoned GPUs on disk: one file, always whole, written and synced before anything is answered. */
@Injectable()
export class GpuCordonsStore {
  private readonly file: string;

  constructor(
    @Inject(CONFIG) private readonly config: Pick<Config, 'state'>,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.file = join(config.state.dir, FILE_NAME);
  }

  /** A file that makes no sense is set aside, and said loudly: no GPU is cordoned by it. */
  async load(): Promise<GpuCordonsRecord> {
    try {
      const text = await fileWork.run(this.file, () => readRegular(this.file));
      return gpuCordonsSchema.parse(JSON.parse(text));
    } catch (error) {
      if (systemCodeOf(error) !== 'ENOENT') await this.setAside(error);
      return { cordons: [], acknowledged: [] };
    }
  }

  /** Resolves once it is on disk; the caller writes one after another. @throws StateWriteError, and the file is as before */
  async save({ cordons, acknowledged }: GpuCordonsRecord): Promise<void> {
    const text = `${JSON.stringify({ version: 1, cordons, acknowledged }, undefined, 2)}\n`;
    try {
      await stateWork.run(this.file, async () => {
        await mkdir(this.config.state.dir, { recursive: true });
        await replaceFile(this.file, text, 0o600);
      });
    } catch (error) {
      throw new StateWriteError(
        `Cannot write the cordons to ${this.file}: ${messageOf(error)}. Free space or mend the directory.`,
        { file: this.file },
        { cause: error },
      );
    }
  }

  private async setAside(error: unknown): Promise<void> {
    const aside = `${this.file}.unreadable-${new Date().toISOString().replaceAll(':', '-')}`;
    this.logger.error(
      { err: error, file: this.file, aside },
      'The cordons of the GPUs cannot be read: no GPU is cordoned. Cordon again by hand what must not be used',
    );
    if (systemCodeOf(error) !== undefined || error instanceof FilesStuckError) return;
    await rename(this.file, aside).catch((failure: unknown) => {
      this.logger.warn({ err: failure, file: this.file }, 'They cannot be set aside either');
    });
  }
}
