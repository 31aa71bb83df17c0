import { execFile } from 'node:child_process';
import { readFile, readlink } from 'node:fs/promises';
import { basename } from 'node:path';
import { promisify } from 'node:util';
import { systemCodeOf } from '../common/errors.js';
import { type ProcessRow, rowOf } from './process-identity.js';
import { completeName } from './process-name.js';
import { effectiveUserOf, statusField } from './process-user.js';

/** What the operating system says about a process. Names are its own choice; the rest is the kernel's word. */
export interface ProcessFacts extends ProcessRow {
  /** The process that this pid belongs to; another number where it is the id of a mere thread. */
  readonly threadGroupId: number;
  /** Short name, which the process can change. */
  readonly name: string;
  /** Effective user id. */
  readonly userId: number;
  /** Path of the program; `null` where the system doesn't tell. */
  readonly executable: string | null;
  /** The command line, which the process can change; empty for a kernel thread. */
  readonly command: readonly string[];
}

type OwnFacts = Pick<ProcessFacts, 'threadGroupId' | 'name' | 'userId' | 'executable' | 'command'>;

const execFileAsync = promisify(execFile);

async function executableOf(pid: number): Promise<string | null> {
  try {
    // An upgrade replaces the file under a running daemon, and the kernel marks the link.
    return (await readlink(`/proc/${pid}/exe`)).replace(/ \(deleted\)$/, '');
  } catch {
    // A kernel thread has none, and another user's is not ours to read.
    return null;
  }
}

/** The words of `/proc/<pid>/cmdline`; NULs may fill what a program that names itself anew leaves of it. */
export function argumentsOf(cmdline: string): string[] {
  const words = cmdline.split('\0');
  const end = words.findLastIndex((word) => word !== '') + 1;
  return words.slice(0, end).filter((word, index) => index > 0 || word !== '');
}

/** Facts from `/proc`. */
export async function factsFromProc(pid: number): Promise<OwnFacts | undefined> {
  try {
    const [status, comm, cmdline, executable] = await Promise.all([
      readFile(`/proc/${pid}/status`, 'utf8'),
      readFile(`/proc/${pid}/comm`, 'utf8'),
      readFile(`/proc/${pid}/cmdline`, 'utf8'),
      executableOf(pid),
    ]);
    const command = argumentsOf(cmdline);
    return {
      threadGroupId: statusField(status, 'Tgid', 0),
      userId: effectiveUserOf(status),
      name: completeName(comm.replace(/\n$/, ''), command[0]),
      executable,
      command,
    };
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes(systemCodeOf(error) ?? '')) return undefined;
    throw error;
  }
}

async function ps(pid: number, columns: readonly string[]): Promise<string> {
  const options = columns.flatMap((column) => ['-o', `${column}=`]);
  try {
    const { stdout } = await execFileAsync('ps', ['-ww', '-p', String(pid), ...options], {
      env: { ...process.env, LC_ALL: 'C' },
    });
    return stdout.trim();
  } catch (error) {
    // `ps -p` exits with 1 when there is no such process.
    if (typeof error === 'object' && error !== null && 'code' in error && error.code === 1) return '';
    throw error;
  }
}

/** Facts from `ps`, for systems without `/proc`: `ps` knows no ids of threads there, and its words are not split. */
export async function factsFromPs(pid: number): Promise<OwnFacts | undefined> {
  const [identity, command] = await Promise.all([ps(pid, ['uid', 'comm']), ps(pid, ['args'])]);
  const match = /^(\d+)\s+(\S.*)$/.exec(identity);
  if (!match) return undefined;
  const [, userId, program = ''] = match;
  return {
    threadGroupId: pid,
    userId: Number(userId),
    name: basename(program),
    executable: program.startsWith('/') ? program : null,
    command: command === '' ? [] : command.split(' '),
  };
}

/** All that can be seen of `pid` now; `undefined` when nobody has it, or nobody that this service can see. */
export async function readFacts(pid: number): Promise<ProcessFacts | undefined> {
  // The row first: should the pid change hands in between, the identity is the old one, and nobody gets a signal.
  const row = await rowOf(pid);
  if (!row) return undefined;
  const own = await (process.platform === 'linux' ? factsFromProc(pid) : factsFromPs(pid));
  return own && { ...row, ...own };
}
