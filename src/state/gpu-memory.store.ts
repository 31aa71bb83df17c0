import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import { writeWhole } from '../common/durable-file.js';
import { canonicalJson } from '../common/canonical-json.js';
import { Clock } from '../common/clock.js';
import { systemCodeOf } from '../common/errors.js';
import { FilesStuckError, fileWork, stateWork } from '../common/files/file-work.js';
import { readRegular } from '../common/files/regular-file.js';
import { LOGGER, type Logger } from '../common/logging/logger.js';
import { CONFIG } from '../config/config.module.js';
import type { Config } from '../config/schema.js';
import { type GpuMemoryPeak, gpuMemorySchema } from './gpu-memory.js';

const FILE_NAME = 'gpu-memory.json';
/** Sets of options kept per model: those whose peaks grew last. */
const MAX_PER_MODEL = 16;

type Options = Readonly<Record<string, unknown>>;

/**
 * What models have taken of GPU memory at their peak, kept on disk. Nothing depends on it: a file that makes no sense is
 * set aside, one that cannot be read or written costs a line in the log, and what was learned counts all the same.
 */
@Injectable()
export class GpuMemoryStore implements OnModuleInit {
  private peaks: GpuMemoryPeak[] = [];
  private writing: Promise<void> | undefined;
  private isChanged = false;
  private readonly file: string;

  constructor(
    @Inject(Clock) private readonly clock: Clock,
    @Inject(CONFIG) config: Pick<Config, 'state'>,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.file = join(config.state.dir, FILE_NAME);
  }

  async onModuleInit(): Promise<void> {
    try {
      const text = await fileWork.run(this.file, () => readRegular(this.file));
      this.peaks = gpuMemorySchema.parse(JSON.parse(text)).peaks;
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return;
      this.logger.warn({ err: error, file: this.file }, 'What was learned of GPU memory cannot be read');
      if (systemCodeOf(error) === undefined && !(error instanceof FilesStuckError)) await this.setAside();
    }
  }

  /** MiB; `undefined`: nothing was learned under these options. */
  peakOf(modelName: string, options: Options): number | undefined {
    const key = canonicalJson(options);
    return this.peaks.find((each) => each.model_name === modelName && each.options === key)?.peak_mb;
  }

  /** Keeps it if it is more than was known. Never waits for the disk. */
  learn(modelName: string, options: Options, memoryMiB: number): void {
    const peak = Math.ceil(memoryMiB);
    if (peak <= (this.peakOf(modelName, options) ?? 0)) return;
    const key = canonicalJson(options);
    const isOf = (each: GpuMemoryPeak): boolean => each.model_name === modelName;
    const others = this.peaks.filter((each) => isOf(each) && each.options !== key);
    const at = this.clock.now().toISOString();
    this.peaks = [
      ...this.peaks.filter((each) => !isOf(each)),
      ...others.slice(1 - MAX_PER_MODEL),
      { model_name: modelName, options: key, peak_mb: peak, at },
    ];
    this.isChanged = true;
    this.writing ??= this.write().finally(() => {
      this.writing = undefined;
    });
  }

  /** Resolves when all that was learned is on disk, or could not be written. */
  async settled(): Promise<void> {
    await this.writing;
  }

  private async write(): Promise<void> {
    while (this.isChanged) {
      this.isChanged = false;
      const text = `${JSON.stringify({ version: 1, peaks: this.peaks }, undefined, 2)}\n`;
      try {
        await stateWork.run(this.file, () => writeWhole(this.file, text, 0o600));
      } catch (error) {
        this.logger.warn({ err: error, file: this.file }, 'What was learned of GPU memory cannot be written');
      }
    }
  }

  private async setAside(): Promise<void> {
    const aside = `${this.file}.unreadable-${this.clock.now().toISOString().replaceAll(':', '-')}`;
    try {
      await rename(this.file, aside);
    } catch (error) {
      this.logger.warn({ err: error, file: this.file }, 'It cannot be set aside either');
    }
  }
}
