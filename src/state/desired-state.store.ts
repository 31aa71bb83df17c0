import { mkdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { Inject, Injectable } from '@nestjs/common';
import writeFileAtomic from 'write-file-atomic';
import { DomainError, messageOf, systemCodeOf } from '../common/errors.js';
import { LOGGER, type Logger } from '../common/logging/logger.js';
import { CONFIG } from '../config/config.module.js';
import type { Config } from '../config/schema.js';
import { type DesiredDeployment, desiredStateSchema } from './desired-state.js';

const FILE_NAME = 'desired-state.json';

/** What was asked for cannot be made to survive a crash, so it is not accepted. */
export class StateWriteError extends DomainError {
  readonly code = 'STATE_WRITE_FAILED';
  readonly kind = 'internal';
}

/** The state is there and cannot be read (permission, not a directory): starting without it would lose models. */
export class StateReadError extends DomainError {
  readonly code = 'STATE_READ_FAILED';
  readonly kind = 'internal';
}

/**
 * The desired state on disk: one file, always whole, written and synced before anything is answered or done.
 * Writes that arrive while one is under way are written together by the next.
 */
@Injectable()
export class DesiredStateStore {
  private deployments = new Map<string, DesiredDeployment>();
  private pending: Promise<void> | undefined;
  private writing: Promise<void> = Promise.resolve();
  private readonly file: string;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.file = join(config.state.dir, FILE_NAME);
  }

  /**
   * Reads the state of the last run. A file that makes no sense is set aside beside itself, and said loudly: what
   * runs is left running.
   * @throws StateReadError
   */
  async load(): Promise<readonly DesiredDeployment[]> {
    let text: string;
    try {
      await mkdir(this.config.state.dir, { recursive: true });
      text = await readFile(this.file, 'utf8');
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return [];
      throw new StateReadError(
        `Cannot read the state in ${this.config.state.dir}: ${messageOf(error)}. Set state.dir (MIC_STATE_DIR) to a directory this service may write.`,
        {},
        { cause: error },
      );
    }
    const state = parseState(text);
    if (state instanceof Error) {
      await this.quarantine(state);
      return [];
    }
    this.deployments = new Map(state.map((deployment) => [deployment.model_name, deployment]));
    return [...this.deployments.values()];
  }

  /**
   * Replaces, or with `undefined` removes, what is wanted of a model. Resolves once it is on disk.
   * @throws StateWriteError; the state is then as it was before
   */
  async put(modelName: string, deployment: DesiredDeployment | undefined): Promise<void> {
    const previous = this.deployments.get(modelName);
    this.set(modelName, deployment);
    this.pending ??= this.writeNext();
    try {
      await this.pending;
    } catch (error) {
      // Another writer of the same model cannot have come between: the supervisor holds the model's lock.
      this.set(modelName, previous);
      throw new StateWriteError(
        `Cannot write the state to ${this.file}: ${messageOf(error)}. Nothing was changed; free space or mend the directory.`,
        { modelName },
        { cause: error },
      );
    }
  }

  private set(modelName: string, deployment: DesiredDeployment | undefined): void {
    if (deployment) this.deployments.set(modelName, deployment);
    else this.deployments.delete(modelName);
  }

  private writeNext(): Promise<void> {
    const write = this.writing.then(async () => {
      this.pending = undefined;
      const state = { version: 1, deployments: [...this.deployments.values()] };
      await writeFileAtomic(this.file, `${JSON.stringify(state, undefined, 2)}\n`, { mode: 0o600 });
    });
    this.writing = write.catch(() => undefined); // each writer sees its own failure; the next one tries anew
    return write;
  }

  private async quarantine(fault: Error): Promise<void> {
    const aside = `${this.file}.unreadable-${new Date().toISOString().replaceAll(':', '-')}`;
    try {
      await rename(this.file, aside);
    } catch (error) {
      throw new StateReadError(
        `The state file ${this.file} makes no sense (${fault.message}) and cannot be set aside: ${messageOf(error)}. Move it away by hand.`,
        {},
        { cause: error },
      );
    }
    this.logger.error(
      { file: this.file, aside, fault: fault.message },
      'The state file makes no sense and was set aside: what it wanted is not known any more',
    );
  }
}

function parseState(text: string): DesiredDeployment[] | Error {
  try {
    return desiredStateSchema.parse(JSON.parse(text)).deployments;
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}
