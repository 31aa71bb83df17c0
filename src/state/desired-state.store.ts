import { mkdir, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { Inject, Injectable, type OnApplicationShutdown, Optional } from '@nestjs/common';
import * as z from 'zod';
import { NotDurableError, replaceFile, type SyncDirectory } from '../common/durable-file.js';
import { DomainError, messageOf, systemCodeOf } from '../common/errors.js';
import { FilesStuckError, fileWork, stateWork } from '../common/files/file-work.js';
import { readRegular } from '../common/files/regular-file.js';
import { LOGGER, type Logger } from '../common/logging/logger.js';
import { CONFIG } from '../config/config.module.js';
import type { Config } from '../config/schema.js';
import {
  type AdoptionProgress,
  type DesiredDeployment,
  desiredStateSchema,
  STATE_VERSION,
} from './desired-state.js';

const FILE_NAME = 'desired-state.json';
/** Time, ms, until what could not be written is tried again. */
const RETRY_MS = 1000;
const ASIDE = `${FILE_NAME}.unreadable-`;

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
 * The desired state on disk: one file, always whole, written and synced, its directory too, before anything is answered
 * or done.
 * Writes that arrive while one is under way are written together by the next. A directory that hangs is one that cannot be
 * written.
 */
@Injectable()
export class DesiredStateStore implements OnApplicationShutdown {
  private deployments = new Map<string, DesiredDeployment>();
  private adopting: AdoptionProgress | undefined;
  private pending: Promise<void> | undefined;
  private writing: Promise<void> = Promise.resolve();
  private fault: StateWriteError | undefined;
  /** Due where something stands that is not on disk. */
  private retry: NodeJS.Timeout | undefined;
  private readonly file: string;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
    @Optional() private readonly sync?: SyncDirectory,
  ) {
    this.file = join(config.state.dir, FILE_NAME);
  }

  /**
   * Reads the state of the last run. A file that makes no sense is set aside beside itself, and said loudly: what
   * runs is to be taken up then, also by a later run of the service, until `putAdoption` says that it is done.
   * @throws StateReadError
   */
  async load(): Promise<readonly DesiredDeployment[]> {
    let text: string;
    try {
      text = await fileWork.run(this.file, async () => {
        await mkdir(this.config.state.dir, { recursive: true });
        return readRegular(this.file);
      });
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return this.withoutFile();
      throw new StateReadError(
        `Cannot read the state in ${this.config.state.dir}: ${messageOf(error)}. Set state.dir (MIC_STATE_DIR) to a directory this service may write.`,
        {},
        { cause: error },
      );
    }
    const state = parseState(text);
    if (state instanceof Error) {
      await this.quarantine(state);
      this.adopting = { done: [] };
      return [];
    }
    this.adopting = state.adoption;
    this.deployments = new Map(state.deployments.map((deployment) => [deployment.model_name, deployment]));
    return [...this.deployments.values()];
  }

  /** `undefined`: the state of the last run was whole, or all that ran has been taken up. */
  get adoption(): AdoptionProgress | undefined {
    return this.adopting;
  }

  /**
   * Replaces, or with `undefined` removes, what is wanted of a model. Resolves once it is on disk.
   * @throws StateWriteError; the state is then as it was before
   */
  put(modelName: string, deployment: DesiredDeployment | undefined): Promise<void> {
    return this.putAll(new Map([[modelName, deployment]]));
  }

  /** The same of several models at once: all of it is on disk afterwards, or nothing. @throws StateWriteError */
  async putAll(changes: ReadonlyMap<string, DesiredDeployment | undefined>): Promise<void> {
    const undo = this.undoOf(changes);
    for (const [modelName, deployment] of changes) this.set(modelName, deployment);
    await this.saveOr(undo, { models: [...changes.keys()] });
  }

  /**
   * The same of what frees: that must not need the disk, or nothing could make room on it. It stands, and is written as soon as
   * it can be.
   * @throws StateWriteError where the directory is gone, and with it what tells the servers: nothing is changed then
   */
  async freeAll(changes: ReadonlyMap<string, DesiredDeployment | undefined>): Promise<void> {
    const undo = this.undoOf(changes);
    const fault = await this.keepAll(changes);
    if (!fault || systemCodeOf(fault.cause) !== 'ENOENT') return;
    undo();
    throw fault;
  }

  /** Why something that stands is not on disk; `undefined`: all of it is. */
  get unsaved(): string | undefined {
    return this.fault?.message;
  }

  /**
   * The same of what has happened already: it stands in any case, and is written as soon as it can be, by the next write or by a
   * try of its own.
   * @returns what keeps it from the disk; `undefined` once it is there
   */
  async keepAll(
    changes: ReadonlyMap<string, DesiredDeployment | undefined>,
  ): Promise<StateWriteError | undefined> {
    for (const [modelName, deployment] of changes) this.set(modelName, deployment);
    return this.writeKept();
  }

  /** Resolves once it is on disk. @throws StateWriteError; the progress is then as it was before */
  async putAdoption(adoption: AdoptionProgress | undefined): Promise<void> {
    const previous = this.adopting;
    this.adopting = adoption;
    await this.saveOr(() => {
      this.adopting = previous;
    });
  }

  /** The last try: what is not on disk by now is lost. */
  async onApplicationShutdown(): Promise<void> {
    clearTimeout(this.retry);
    if (this.fault) await this.writeKept();
    clearTimeout(this.retry);
  }

  private async writeKept(): Promise<StateWriteError | undefined> {
    this.pending ??= this.writeNext();
    try {
      await this.pending;
      return undefined;
    } catch (error) {
      this.fault = this.keptError(error);
      this.retry ??= setTimeout(() => {
        this.retry = undefined;
        void this.writeKept();
      }, RETRY_MS).unref();
      return this.fault;
    }
  }

  private keptError(error: unknown): StateWriteError {
    return new StateWriteError(
      `Cannot write the state to ${this.file}: ${messageOf(error)}. It is done all the same, and written as soon as it can be; if this service dies before, its next run does not know of it. Free space or mend the directory.`,
      {},
      { cause: error },
    );
  }

  /** Another writer of the same model cannot come between: its writers hold the lock of its deployment. */
  private undoOf(changes: ReadonlyMap<string, unknown>): () => void {
    const previous = [...changes.keys()].map(
      (modelName) => [modelName, this.deployments.get(modelName)] as const,
    );
    return () => {
      for (const [modelName, deployment] of previous) this.set(modelName, deployment);
    };
  }

  private async saveOr(undo: () => void, facts: Record<string, unknown> = {}): Promise<void> {
    this.pending ??= this.writeNext();
    try {
      await this.pending;
    } catch (error) {
      undo();
      if (error instanceof NotDurableError || error instanceof FilesStuckError) this.restore();
      throw new StateWriteError(
        `Cannot write the state to ${this.file}: ${messageOf(error)}. Nothing was changed; free space or mend the directory.`,
        facts,
        { cause: error },
      );
    }
  }

  /** The file has what was refused, or will. A run that reads it must find the state that stands, which is written again. */
  private restore(): void {
    void this.writeKept().then((fault) => {
      if (fault)
        this.logger.error({ err: fault.cause, file: this.file }, 'The state file may have what was refused');
    });
  }

  private set(modelName: string, deployment: DesiredDeployment | undefined): void {
    if (deployment) this.deployments.set(modelName, deployment);
    else this.deployments.delete(modelName);
  }

  private writeNext(): Promise<void> {
    const write = this.writing.then(async () => {
      this.pending = undefined;
      const state = {
        version: STATE_VERSION,
        ...(this.adopting && { adoption: this.adopting }),
        deployments: [...this.deployments.values()],
      };
      const text = `${JSON.stringify(state, undefined, 2)}\n`;
      await stateWork.run(this.file, () => replaceFile(this.file, text, 0o600, this.sync));
      this.fault = undefined;
    });
    this.writing = write.catch(() => undefined); // each writer sees its own failure; the next one tries anew
    return write;
  }

  /** There was none yet; or the last run has ended between setting one aside and writing its own. */
  private async withoutFile(): Promise<readonly DesiredDeployment[]> {
    const aside = (await readdir(this.config.state.dir)).filter((name) => name.startsWith(ASIDE));
    if (aside.length > 0) {
      this.adopting = { done: [] };
      this.logger.error(
        { file: this.file, aside },
        'There is no state file but one that was set aside: what it wanted is not known any more',
      );
    }
    return [];
  }

  private async quarantine(fault: Error): Promise<void> {
    const aside = `${join(this.config.state.dir, ASIDE)}${new Date().toISOString().replaceAll(':', '-')}`;
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
      fault instanceof NewerVersionError
        ? 'The state file is from a newer version of this service and was set aside: what runs is taken up from the backends'
        : 'The state file makes no sense and was set aside: what runs is taken up from the backends',
    );
  }
}

/** Written by a service that knows more than this one. */
class NewerVersionError extends Error {
  constructor(version: number) {
    super(
      `it is from a newer version of this service: its format is ${version}, this one reads ${STATE_VERSION}`,
    );
  }
}

const versionSchema = z.object({ version: z.int().gt(STATE_VERSION) });

function parseState(text: string): z.infer<typeof desiredStateSchema> | Error {
  try {
    const value: unknown = JSON.parse(text);
    const newer = versionSchema.safeParse(value);
    return newer.success ? new NewerVersionError(newer.data.version) : desiredStateSchema.parse(value);
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}
