import { mkdirSync, realpathSync } from 'node:fs';
import { strictly } from '../../common/examiner.js';
import { requireAddress } from '../bind-address.js';
import { ExitListeners } from '../exit-listeners.js';
import {
  Launcher,
  type LaunchSpec,
  NameTakenError,
  PortInUseError,
  type ServerExit,
  type ServerInfo,
} from '../launcher.js';
import type { HostPath } from '../host-paths.js';
import { NameLocks } from '../name-locks.js';
import { holderInWords, isPortTaken, portHolders, portInUseMessage } from '../../host/ports.js';
import { carries, isServerName, requireServerName, sameLabels } from '../server-name.js';
import { endGroup } from './end-group.js';
import { isAliveRecord } from './find-orphans.js';
import { findProgram } from './process-environment.js';
import type { ProcessRecord } from './process-records.js';
import { ProcessServers } from './process-servers.js';
import { commandMissing } from './spawn-server.js';

export interface ProcessLauncherOptions {
  /** Where records and logs go; also the owner: what another directory knows is never touched. */
  readonly stateDir: string;
  /** Value of OWNER_LABEL. */
  readonly owner: string;
  /** Of a server's log, with what was set aside of it, bytes. */
  readonly logMaxBytes: number;
  /** Variables of this service that no server inherits, besides those of its launch. */
  readonly withheld?: readonly string[];
  /** From SIGKILL to a StopFailedError. */
  readonly killTimeoutMs?: number;
}

const KILL_TIMEOUT_MS = 10_000;
/** What is left of a dead server gets this long to end before the next launch forces it. */
const CLEARING_GRACE_MS = 2000;

/** Runs servers as detached processes of this host, which go on when this service ends. */
export class ProcessLauncher extends Launcher {
  readonly kind = 'process';

  private readonly locks = new NameLocks();
  private readonly listeners = new ExitListeners();
  private readonly servers: ProcessServers;
  private readonly killTimeoutMs: number;
  private firstLook: Promise<void> | undefined;

  /** @throws a system error when the state directory can't be made */
  constructor(options: ProcessLauncherOptions) {
    super();
    const { owner, logMaxBytes, withheld = [], killTimeoutMs = KILL_TIMEOUT_MS } = options;
    mkdirSync(options.stateDir, { recursive: true, mode: 0o750 });
    const stateDir = realpathSync(options.stateDir);
    this.killTimeoutMs = killTimeoutMs;
    this.servers = new ProcessServers({ stateDir, owner, logMaxBytes, withheld }, this.locks, this.listeners);
  }

  async check(spec: LaunchSpec, signal: AbortSignal, examine = strictly): Promise<void> {
    await this.ready(signal);
    requireServerName(spec.name);
    if (await this.liveServer(spec)) return;
    await examine('program', () => this.requireProgram(spec));
    signal.throwIfAborted();
    await this.requirePaths(unmountedPaths(spec), signal, examine);
    await examine('ports', async () => {
      await requireAddress(spec);
      await this.requirePorts(spec);
    });
  }

  async launch(spec: LaunchSpec, signal: AbortSignal): Promise<ServerInfo> {
    await this.ready(signal);
    requireServerName(spec.name);
    return this.locks.run(spec.name, signal, async () => {
      const live = await this.liveServer(spec);
      if (live) return this.servers.infoOf(live);
      await this.requireProgram(spec);
      await requireAddress(spec);
      await this.clear(spec.name, CLEARING_GRACE_MS, signal);
      await this.requirePorts(spec);
      signal.throwIfAborted();
      return this.servers.start(spec);
    });
  }

  async inspect(name: string, signal: AbortSignal): Promise<ServerInfo | undefined> {
    if (!isServerName(name)) return undefined;
    await this.ready(signal);
    const record = await this.servers.records.read(name);
    return record && this.servers.infoOf(record);
  }

  async list(labels: Readonly<Record<string, string>>, signal: AbortSignal): Promise<readonly ServerInfo[]> {
    await this.ready(signal);
    const records = await this.servers.records.list();
    const wanted = records.filter((record) => carries(this.servers.labelsOf(record), labels));
    return Promise.all(wanted.map((record) => this.servers.infoOf(record)));
  }

  async serverOf(pid: number, signal: AbortSignal): Promise<string | undefined> {
    await this.ready(signal);
    return this.servers.nameOf(pid);
  }

  async stop(name: string, graceSeconds: number, signal: AbortSignal): Promise<void> {
    if (!isServerName(name)) return;
    await this.ready(signal);
    await this.locks.run(name, signal, () => this.clear(name, graceSeconds * 1000, signal));
  }

  async logs(name: string, tail: number, signal: AbortSignal): Promise<readonly string[]> {
    if (!isServerName(name)) return [];
    await this.ready(signal);
    const record = await this.servers.records.read(name);
    return record ? this.servers.tail(record, tail) : [];
  }

  onExit(listener: (exit: ServerExit) => void): () => void {
    return this.listeners.add(listener);
  }

  override exitOf(id: string): ServerExit | undefined {
    return this.listeners.exitOf(id);
  }

  async close(): Promise<void> {
    this.listeners.clear();
    await this.servers.close();
  }

  private async ready(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.firstLook ??= this.servers.adoptAll().catch((error: unknown) => {
      this.firstLook = undefined;
      throw error;
    });
    await this.firstLook;
    signal.throwIfAborted();
  }

  /** @throws NameTakenError when a live one has the name and other labels */
  private async liveServer(spec: LaunchSpec): Promise<ProcessRecord | undefined> {
    const record = await this.servers.records.read(spec.name);
    if (!record || !(await isAliveRecord(record))) return undefined;
    if (sameLabels(this.servers.labelsOf(record), this.servers.labelsOf(spec))) return record;
    throw new NameTakenError(
      `The name ${spec.name} is taken by a running server with other labels (process ${String(record.pid)}): ` +
        `stop it, or configure another name`,
      { name: spec.name, pid: record.pid, labels: record.labels },
    );
  }

  private async requireProgram(spec: LaunchSpec): Promise<void> {
    const program = spec.command[0] ?? '';
    const searchPath = spec.env.PATH ?? process.env.PATH ?? '';
    if (!(await findProgram(program, searchPath)))
      throw commandMissing(program, searchPath, spec.programSetting);
  }

  /** Ports that only what is left of the dead server of this name holds are free: a launch clears that away. */
  private async requirePorts(spec: LaunchSpec): Promise<void> {
    for (const { port } of spec.ports) {
      if (!(await isPortTaken(spec.bindAddress, port))) continue;
      const holders = await portHolders(port);
      const record = await this.servers.records.read(spec.name);
      const remains = await this.servers.groupOf(spec.name, record).remains();
      const ours = new Set([...remains.group, ...remains.strays].map((row) => row.pid));
      if (holders.length > 0 && holders.every((holder) => ours.has(holder.pid))) continue;
      throw new PortInUseError(portInUseMessage(port, holderInWords(holders)), {
        port,
        holders,
        name: spec.name,
      });
    }
  }

  private async clear(name: string, graceMs: number, signal: AbortSignal): Promise<void> {
    const record = await this.servers.records.read(name);
    const group = this.servers.groupOf(name, record);
    const politeSignal = record?.stopSignal ?? 'SIGTERM';
    await endGroup(name, group, { politeSignal, graceMs, killTimeoutMs: this.killTimeoutMs, signal });
    await this.servers.forget(name, record);
  }
}

/** A process has no mounts. */
function unmountedPaths({ hostPaths = [], mounts }: LaunchSpec): HostPath[] {
  return hostPaths.filter(({ path }) => !mounts.some(({ hostPath }) => hostPath === path));
}
