import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { writeWhole } from '../../common/durable-file.js';
import { DomainError, systemCodeOf } from '../../common/errors.js';
import { FilesStuckError, fileWork } from '../../common/files/file-work.js';
import { readRegular, UnfitFileError } from '../../common/files/regular-file.js';
import { isServerName } from '../server-name.js';

const recordSchema = z.object({
  version: z.literal(1),
  name: z.string(),
  labels: z.record(z.string(), z.string()),
  command: z.array(z.string()),
  /** What asks it to end; left out for SIGTERM. */
  stopSignal: z.enum(['SIGTERM', 'SIGINT']).optional().catch(undefined),
  /** Random, one per launch; the server's environment carries it. */
  launchId: z.string().min(1),
  /** `null` from the moment before the spawn until its outcome is written. */
  pid: z.int().positive().nullable(),
  startTime: z.string().nullable(),
  launchedAt: z.iso.datetime(),
  /** Where in the log file the output of this launch begins, bytes. */
  logOffset: z.int().min(0),
  /** Whether the main process was seen to end. */
  ended: z.boolean(),
  exitCode: z.int().nullable(),
  reason: z.string().optional(),
});

/** What is on disk about one server. Environments are not: they may hold secrets. */
export type ProcessRecord = Readonly<z.infer<typeof recordSchema>>;

/** Without its records, a server that runs would be taken for one that does not, and be launched once more. */
export class RecordsGoneError extends DomainError {
  readonly code = 'SERVER_RECORDS_GONE';
  readonly kind = 'internal';
  override readonly retry = 'always';
}

/**
 * `<state dir>/processes/<name>.json`, one per server. The files are the truth, so that what another instance of this class wrote
 * is seen at once. While their disk does not answer, what was last seen of them is: a server is stopped by it. Names must be
 * valid server names.
 */
export class ProcessRecords {
  private readonly directory: string;
  /** The directory was there: if it is not any more, that says nothing about servers. */
  private wasThere = false;
  /** As last read or written; `undefined`: there was none. */
  private readonly lastSeen = new Map<string, ProcessRecord | undefined>();

  constructor(stateDir: string) {
    this.directory = join(stateDir, 'processes');
  }

  /** `undefined` when there is none, or none that can be understood. @throws RecordsGoneError, FilesStuckError */
  async read(name: string): Promise<ProcessRecord | undefined> {
    const path = this.pathOf(name);
    try {
      const record = await fileWork.run(path, () => this.readFile(path, name));
      this.lastSeen.set(name, record);
      return record;
    } catch (error) {
      if (error instanceof FilesStuckError && this.lastSeen.has(name)) return this.lastSeen.get(name);
      throw error;
    }
  }

  /** @throws RecordsGoneError, FilesStuckError */
  async list(): Promise<readonly ProcessRecord[]> {
    let names: Iterable<string>;
    try {
      names = await fileWork.run(this.directory, () => this.readNames());
    } catch (error) {
      if (!(error instanceof FilesStuckError && this.wasThere)) throw error;
      names = this.lastSeen.keys();
    }
    const records = await Promise.all([...names].filter(isServerName).map((name) => this.read(name)));
    return records.filter((record) => record !== undefined);
  }

  /**
   * Atomic, and survives the end of this service. Not synced beyond that: no server outlives a power cut, so that its record
   * may be lost with it.
   * @throws RecordsGoneError, FilesStuckError, a system error
   */
  async write(record: ProcessRecord): Promise<void> {
    const path = this.pathOf(record.name);
    await fileWork.run(path, async () => {
      if (this.wasThere) await this.requireDirectory();
      else await mkdir(this.directory, { recursive: true, mode: 0o750 });
      this.wasThere = true;
      await writeWhole(path, `${JSON.stringify(record, null, 2)}\n`, 0o640);
    });
    this.lastSeen.set(record.name, record);
  }

  /** @throws FilesStuckError, a system error; it counts as removed all the same while the disk does not answer */
  async remove(name: string): Promise<void> {
    const path = this.pathOf(name);
    this.lastSeen.set(name, undefined);
    await fileWork.run(path, () => rm(path, { force: true }));
  }

  private async readFile(path: string, name: string): Promise<ProcessRecord | undefined> {
    try {
      return parseRecord(await readRegular(path), name);
    } catch (error) {
      if (error instanceof UnfitFileError) return undefined; // no record was ever written so
      if (systemCodeOf(error) !== 'ENOENT') throw error;
      await this.requireDirectory();
      return undefined;
    }
  }

  private async readNames(): Promise<string[]> {
    try {
      const entries = await readdir(this.directory);
      this.wasThere = true;
      return entries
        .filter((entry) => entry.endsWith('.json'))
        .map((entry) => entry.slice(0, -'.json'.length));
    } catch (error) {
      if (systemCodeOf(error) !== 'ENOENT') throw error;
      await this.requireDirectory();
      return [];
    }
  }

  private async requireDirectory(): Promise<void> {
    if (!this.wasThere) return;
    try {
      await stat(this.directory);
    } catch (error) {
      throw new RecordsGoneError(
        `The records of servers in ${this.directory} are gone: put the directory back, or start this service again, which finds what runs.`,
        { directory: this.directory },
        { cause: error },
      );
    }
  }

  private pathOf(name: string): string {
    return join(this.directory, `${name}.json`);
  }
}

function parseRecord(content: string, name: string): ProcessRecord | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(content);
  } catch {
    // Half a file, or edited by hand: as good as none. Its processes are found by their environment.
    return undefined;
  }
  const result = recordSchema.safeParse(parsed);
  return result.success && result.data.name === name ? result.data : undefined;
}
