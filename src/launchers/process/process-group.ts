import { systemCodeOf } from '../../common/errors.js';
import { MARKER } from './process-environment.js';
import { type ProcessIdentity, type ProcessRow, startedBefore } from '../../host/process-identity.js';
import { writesTo } from '../../host/process-descriptors.js';
import { environmentOf, listProcesses } from '../../host/process-table.js';

/** Parent of all kernel threads on Linux. */
const KTHREADD = 2;

/** How the processes of one server are told from all others. */
export interface GroupIdentity {
  readonly owner: string;
  readonly name: string;
  /** Main process; its pid is the group's id. `null` when the launch never got so far. */
  readonly leader: ProcessIdentity | null;
  readonly logPath: string;
}

/** What is there of a server. */
export interface Remains {
  /** Living processes of the group; they get the group's signals. */
  readonly group: readonly ProcessRow[];
  /** Living processes that left the group (a session of their own), but carry its marker or descend from its members. */
  readonly strays: readonly ProcessRow[];
}

/**
 * The processes of one server. A group's id is reused like a pid once the group is empty, so a group counts as ours
 * only while something proves it: its leader's start time, a member seen in it earlier, a member that carries our
 * marker, or one that writes to our log. A process outside it counts as ours by its marker, by where it writes, or by
 * descent from one that is ours. Nothing is ever signalled without such a proof.
 */
export class ProcessGroup {
  private readonly seen = new Set<string>();

  constructor(private readonly identity: GroupIdentity) {}

  /** `undefined` when the launch never got so far; it may be somebody else's by now, `remains` tells. */
  get leaderPid(): number | undefined {
    return this.identity.leader?.pid;
  }

  /** Looks at the whole process table: some milliseconds. */
  async remains(): Promise<Remains> {
    const rows = (await listProcesses()).filter((row) => row.pid !== process.pid);
    const groupId = this.identity.leader?.pid;
    const members = groupId === undefined ? [] : rows.filter((row) => row.groupId === groupId);
    const ours = await this.isOurs(members);
    const family = new Set<ProcessRow>(ours ? members : []);
    for (const row of rows) {
      if (row.groupId === groupId || !row.alive) continue;
      if (this.seen.has(keyOf(row)) || (this.canBeStray(row) && (await this.isMarked(row)))) family.add(row);
    }
    addDescendants(family, rows);
    // Once its parent is gone, nothing else may tell that a descendant is one.
    for (const row of family) this.seen.add(keyOf(row));
    const living = [...family].filter((row) => row.alive);
    return {
      group: ours ? living.filter((row) => row.groupId === groupId) : [],
      strays: living.filter((row) => row.groupId !== groupId),
    };
  }

  /** Sends `signal` to the group at once; each stray by itself. What has ended meanwhile is passed over. */
  signal(signal: NodeJS.Signals, remains: Remains): void {
    if (remains.group.length > 0 && this.identity.leader) send(-this.identity.leader.pid, signal);
    for (const stray of remains.strays) send(stray.pid, signal);
  }

  /** Quick look without the process table: false when no process has this group, true when one (or a zombie) may. */
  mayHaveMembers(): boolean {
    if (!this.identity.leader) return false;
    try {
      process.kill(-this.identity.leader.pid, 0);
      return true;
    } catch (error) {
      return systemCodeOf(error) !== 'ESRCH';
    }
  }

  private async isOurs(members: readonly ProcessRow[]): Promise<boolean> {
    const { leader } = this.identity;
    if (!leader) return false;
    const holder = members.find((member) => member.pid === leader.pid);
    // The kernel gives a pid away only when no group has it: whoever has it now decides.
    if (holder) return holder.startTime === leader.startTime;
    for (const member of members) {
      if (this.seen.has(keyOf(member)) || (member.alive && (await this.isMarked(member)))) return true;
    }
    return false;
  }

  private canBeStray(row: ProcessRow): boolean {
    const isKernelThread = row.pid === KTHREADD || row.parentPid === KTHREADD;
    return !isKernelThread && !(this.identity.leader && startedBefore(row, this.identity.leader));
  }

  private async isMarked(row: ProcessRow): Promise<boolean> {
    const environment = await environmentOf(row.pid);
    if (environment.get(MARKER.owner) === this.identity.owner) {
      return environment.get(MARKER.name) === this.identity.name;
    }
    // A title written over the environment hides the marker; the output still goes where the launch sent it.
    return writesTo(row.pid, this.identity.logPath);
  }
}

/** A set that grows while it is walked is walked to its end: children of children included. */
function addDescendants(family: Set<ProcessRow>, rows: readonly ProcessRow[]): void {
  const children = new Map<number, ProcessRow[]>();
  for (const row of rows) children.set(row.parentPid, [...(children.get(row.parentPid) ?? []), row]);
  for (const row of family) for (const child of children.get(row.pid) ?? []) family.add(child);
}

/** Tells a process from a later one with its pid. */
export function keyOf(row: ProcessRow): string {
  return `${row.pid} ${row.startTime}`;
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // EPERM: it changed its user. It stays, and the stop names it.
    const code = systemCodeOf(error);
    if (code !== 'ESRCH' && code !== 'EPERM') throw error;
  }
}
