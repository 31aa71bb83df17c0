import { randomUUID } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { Logger } from '@nestjs/common';
import { messageOf } from '../../common/errors.js';
import { rowOf } from '../../host/process-identity.js';
import type { ExitListeners } from '../exit-listeners.js';
import { type LaunchSpec, OWNER_LABEL, type ServerInfo } from '../launcher.js';
import type { NameLocks } from '../name-locks.js';
import { isAliveRecord, recordOrphans } from './find-orphans.js';
import { MARKER, serverEnvironment } from './process-environment.js';
import { ProcessGroup } from './process-group.js';
import { LogWatch } from './log-watch.js';
import { type LaunchLog, ProcessLogs } from './process-log.js';
import { type ProcessRecord, ProcessRecords } from './process-records.js';
import { type ProcessEnd, ProcessWatch } from './process-watch.js';
import { environmentOf } from '../../host/process-table.js';
import { spawnServer } from './spawn-server.js';

interface Options {
  /** Real path, as the kernel names it in `/proc/<pid>/fd`. */
  readonly stateDir: string;
  readonly owner: string;
  readonly logMaxBytes: number;
  readonly withheld: readonly string[];
}

/** The servers of one state directory: their records, their logs, and the watch over the living. */
export class ProcessServers {
  readonly records: ProcessRecords;
  readonly logs: ProcessLogs;
  private readonly logger = new Logger('ProcessLauncher');
  private readonly watch = new ProcessWatch();
  private readonly logWatch: LogWatch;
  /** Ends that this instance saw, by launch id: a record that was read a moment ago may not have them yet. */
  private readonly ends = new Map<string, ProcessEnd>();
  /** Records being written for ends just seen. */
  private readonly notes = new Set<Promise<unknown>>();
  private readonly never = new AbortController().signal;

  constructor(
    private readonly options: Options,
    private readonly locks: NameLocks,
    private readonly listeners: ExitListeners,
  ) {
    this.records = new ProcessRecords(options.stateDir);
    this.logs = new ProcessLogs(options.stateDir, options.logMaxBytes);
    this.logWatch = new LogWatch(options.logMaxBytes);
  }

  /** Finds what an earlier run of the service left running, and watches it from now on. */
  async adoptAll(): Promise<void> {
    await recordOrphans(this.options.stateDir, this.records, this.logs);
    for (const record of await this.records.list()) {
      // Of one that has ended as well: what is left of it may still write.
      this.watchLog(record);
      await this.infoOf(record);
    }
  }

  /** Resolves when what was seen to end is on disk. */
  async close(): Promise<void> {
    this.watch.close();
    this.logWatch.close();
    await Promise.all(this.notes);
  }

  labelsOf(server: { readonly labels: Readonly<Record<string, string>> }): Record<string, string> {
    return { ...server.labels, [OWNER_LABEL]: this.options.owner };
  }

  /** The processes of `name`, of which `record` may know the main one. */
  groupOf(name: string, record: ProcessRecord | undefined): ProcessGroup {
    const leader = record ? identityOf(record) : null;
    return new ProcessGroup({ owner: this.options.stateDir, name, leader, logPath: this.logs.pathOf(name) });
  }

  /** The server that `pid` belongs to: by the mark of its launch, or by the main process whose group it is in. */
  async nameOf(pid: number): Promise<string | undefined> {
    const environment = await environmentOf(pid);
    const name = environment.get(MARKER.name);
    if (environment.get(MARKER.owner) === this.options.stateDir && name !== undefined) return name;
    const row = await rowOf(pid);
    if (!row) return undefined;
    const records = await this.records.list();
    const leader = records.find((record) => record.pid === row.groupId);
    // A group's id is reused like a pid: only its leader's start time is proof.
    return leader && (await isAliveRecord(leader)) ? leader.name : undefined;
  }

  /** What is true of the server of `record` now. A living one is watched from then on. */
  async infoOf(record: ProcessRecord): Promise<ServerInfo> {
    const running = await isAliveRecord(record);
    const identity = identityOf(record);
    if (running && identity) {
      this.watch.adopt(record.launchId, identity, () => {
        void this.endedUnobserved(record);
      });
    }
    // A record without a pid may be one of a launch that has gone on since it was read.
    if (!running && identity) await this.watch.exitSeen(record.launchId);
    const end = this.ends.get(record.launchId) ?? record;
    return {
      id: idOf(record),
      name: record.name,
      labels: this.labelsOf(record),
      running,
      pid: running ? record.pid : null,
      startedAt: identity ? new Date(record.launchedAt) : null,
      exitCode: running ? null : end.exitCode,
      ...(!running && end.reason !== undefined && { reason: end.reason }),
    };
  }

  /** Forgets a server of which nothing is left. */
  async forget(name: string, record: ProcessRecord | undefined): Promise<void> {
    this.logWatch.end(name);
    try {
      await this.records.remove(name);
    } catch (error) {
      // It names processes that are gone: what it says is true of none that comes.
      this.logger.warn(`The record of ${name} could not be removed: ${messageOf(error)}`);
    }
    if (record) this.ends.delete(record.launchId);
  }

  /**
   * Spawns the server. Nothing of that name may be running, and the caller holds the name's lock.
   * @throws CommandMissingError, LaunchFailedError
   */
  async start(spec: LaunchSpec): Promise<ServerInfo> {
    const log = await this.logs.openForLaunch(spec.name);
    try {
      const intent: ProcessRecord = {
        version: 1,
        name: spec.name,
        labels: { ...spec.labels },
        command: [...spec.command],
        ...(spec.stopSignal !== undefined && { stopSignal: spec.stopSignal }),
        launchId: randomUUID(),
        pid: null,
        startTime: null,
        launchedAt: new Date().toISOString(),
        logOffset: log.offset,
        ended: false,
        exitCode: null,
      };
      // Before the spawn, so that a crash at any moment leaves something to find the process by.
      await this.records.write(intent);
      const record = await this.spawn(spec, intent, log.handle);
      await this.records.write(record);
      this.watchLog(record);
      return await this.infoOf(record);
    } finally {
      await log.handle.close();
    }
  }

  /** The last lines of the server of `record`. */
  tail(record: ProcessRecord, count: number): Promise<readonly string[]> {
    return this.logs.tail(logOf(record), count);
  }

  private watchLog(record: ProcessRecord): void {
    this.logWatch.begin(record.name, () => this.logs.bound(logOf(record)));
  }

  private async spawn(spec: LaunchSpec, intent: ProcessRecord, log: FileHandle): Promise<ProcessRecord> {
    const { launchId: id, labels } = intent;
    const { stateDir: owner, withheld } = this.options;
    const environment = serverEnvironment(spec, { owner, id, labels }, withheld);
    try {
      const { child, identity } = await spawnServer(spec, environment, log);
      const record = { ...intent, ...identity };
      this.watch.child(id, child, (end) => {
        this.ended(record, end);
      });
      return record;
    } catch (error) {
      await this.records.remove(spec.name);
      throw error;
    }
  }

  private ended(record: ProcessRecord, end: ProcessEnd): void {
    this.ends.set(record.launchId, end);
    this.listeners.emit({ id: idOf(record), name: record.name, ...end });
    const note = async (): Promise<void> => {
      const current = await this.records.read(record.name);
      if (current?.launchId === record.launchId) {
        await this.records.write({ ...current, ended: true, ...end });
      } else {
        // Stopped and removed, or launched anew: nobody asks any more.
        this.ends.delete(record.launchId);
      }
    };
    // Behind a launch or a stop of the same name that is under way: each must find the record as it left it.
    const noted = this.locks
      .run(record.name, this.never, note)
      .catch((error: unknown) => {
        this.logger.warn(`The end of ${record.name} could not be recorded: ${messageOf(error)}`);
      })
      .finally(() => this.notes.delete(noted));
    this.notes.add(noted);
  }

  /** An adopted one ended. Its parent may be another instance of this class, and have noted the exit code. */
  private async endedUnobserved(record: ProcessRecord): Promise<void> {
    let current: ProcessRecord | undefined;
    try {
      current = await this.records.read(record.name);
    } catch (error) {
      this.logger.warn(`The record of ${record.name} could not be read: ${messageOf(error)}`);
    }
    const exitCode = current?.launchId === record.launchId ? current.exitCode : null;
    this.listeners.emit({ id: idOf(record), name: record.name, exitCode });
  }
}

function identityOf(record: ProcessRecord): { pid: number; startTime: string } | null {
  if (record.pid === null || record.startTime === null) return null;
  return { pid: record.pid, startTime: record.startTime };
}

function logOf({ name, logOffset: offset, launchedAt }: ProcessRecord): LaunchLog {
  return { name, offset, since: new Date(launchedAt) };
}

function idOf(record: ProcessRecord): string {
  return record.pid === null ? `launch ${record.launchId}` : `${record.pid}:${record.startTime ?? ''}`;
}
