import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';

/** A process that no later process with the same pid can be mistaken for. */
export interface ProcessIdentity {
  readonly pid: number;
  /**
   * Opaque; equal for the same process only. Linux: ticks since boot and the boot's id (`/proc/<pid>/stat` field 22);
   * elsewhere the start time as `ps` prints it, in seconds.
   */
  readonly startTime: string;
}

/** One line of the process table. */
export interface ProcessRow extends ProcessIdentity {
  readonly parentPid: number;
  readonly groupId: number;
  readonly sessionId: number;
  /** False for a zombie: it has ended, and only its exit code is still to be fetched. */
  readonly alive: boolean;
  /** Scheduler state, as the system abbreviates it: `S` sleeps, `D` or `U` sleeps and takes no signal, `Z` zombie. */
  readonly state: string;
  /** A thread of the kernel, which only looks like a process. Linux. */
  readonly isKernelThread: boolean;
}

/** `PF_KTHREAD`, in field 9 of `/proc/<pid>/stat`. */
const KERNEL_THREAD_FLAG = 0x0020_0000;

const onLinux = process.platform === 'linux';
const execFileAsync = promisify(execFile);

let bootId: string | undefined;

/** The boot's id: ticks alone would match another process after a reboot. */
function currentBootId(): string {
  bootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return bootId;
}

/** A line of `/proc/<pid>/stat`. Fields are counted from the last `)`: the name before it may hold anything. */
export function parseStat(stat: string): ProcessRow | undefined {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const pid = Number.parseInt(stat, 10);
  const ticks = fields[19];
  if (Number.isNaN(pid) || ticks === undefined) return undefined;
  const state = fields[0] ?? '';
  // A main thread that ended before the others is a zombie, too; the process lives on.
  const threads = Number(fields[17]);
  return {
    pid,
    startTime: `${ticks}@${currentBootId()}`,
    parentPid: Number(fields[1]),
    groupId: Number(fields[2]),
    sessionId: Number(fields[3]),
    alive: !/[ZXx]/.test(state) || (state === 'Z' && threads > 1),
    state,
    isKernelThread: (Number(fields[6]) & KERNEL_THREAD_FLAG) !== 0,
  };
}

/** The process table's line of `pid` right now, zombies included; `undefined` when there is none. Linux only. */
export function readRow(pid: number): ProcessRow | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    // ENOENT, ESRCH: no such process. Nothing else can go wrong in reading this file.
    return undefined;
  }
}

/** Whether `a` started before `b`; false where the start times do not tell. */
export function startedBefore(a: ProcessIdentity, b: ProcessIdentity): boolean {
  const [ticksA, bootA] = a.startTime.split('@');
  const [ticksB, bootB] = b.startTime.split('@');
  return bootA !== undefined && bootA === bootB && Number(ticksA) < Number(ticksB);
}

const PS_COLUMNS = 'pid=,ppid=,pgid=,stat=,lstart=';

/** A line of `ps -o pid=,ppid=,pgid=,stat=,lstart=`. */
export function parsePsLine(line: string): ProcessRow | undefined {
  const match = /^(\d+)\s+(\d+)\s+(\d+)\s+(\S+)\s+(\S.*)$/s.exec(line.trim());
  if (!match) return undefined;
  const [, pid, parentPid, groupId, state = '', startTime = ''] = match;
  return {
    pid: Number(pid),
    startTime,
    parentPid: Number(parentPid),
    groupId: Number(groupId),
    sessionId: 0,
    alive: !state.startsWith('Z'),
    state: state.charAt(0),
    isKernelThread: false,
  };
}

/**
 * The process table as `ps` tells it, for systems without `/proc`. `selection` is `-A`, or `-p` and a pid.
 * @throws when `ps` is missing
 */
export async function readRowsFromPs(selection: readonly string[]): Promise<readonly ProcessRow[]> {
  let output: string;
  try {
    const result = await execFileAsync('ps', [...selection, '-o', PS_COLUMNS], {
      env: { ...process.env, LC_ALL: 'C' },
      maxBuffer: 16 * 2 ** 20,
    });
    output = result.stdout;
  } catch (error) {
    // `ps -p` exits with 1 when there is no such process.
    if (typeof error === 'object' && error !== null && 'code' in error && error.code === 1) return [];
    throw error;
  }
  return output.split('\n').flatMap((line) => parsePsLine(line) ?? []);
}

/** The process table's line of `pid` right now, zombies included; `undefined` when there is none to be seen. */
export async function rowOf(pid: number): Promise<ProcessRow | undefined> {
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  return onLinux ? readRow(pid) : (await readRowsFromPs(['-p', String(pid)]))[0];
}

/** Who has `pid` now; `undefined` when nobody has, or just a zombie. */
export async function processIdentity(pid: number): Promise<ProcessIdentity | undefined> {
  const row = await rowOf(pid);
  return row?.alive ? { pid: row.pid, startTime: row.startTime } : undefined;
}

/** Whether this very process still runs; a zombie doesn't. */
export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  return (await processIdentity(identity.pid))?.startTime === identity.startTime;
}
