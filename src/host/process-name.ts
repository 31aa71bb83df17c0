import { readFileSync } from 'node:fs';
import { basename } from 'node:path';

/** The kernel cuts `comm` to this length. */
const COMM_LENGTH = 15;
const UNKNOWN = 'unknown';

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // gone, or another user's under hidepid
  }
}

/** `comm`, completed from the command line where the kernel has cut it: as `ps` and psutil show it. */
export function completeName(comm: string, program: string | undefined): string {
  const complete = basename(program ?? '');
  return comm.length >= COMM_LENGTH && complete.startsWith(comm) ? complete : comm;
}

/** A process' name; `undefined` where /proc does not tell. */
export function knownName(pid: number, proc = '/proc'): string | undefined {
  const comm = read(`${proc}/${pid}/comm`)?.trimEnd();
  return comm ? completeName(comm, read(`${proc}/${pid}/cmdline`)?.split('\0')[0]) : undefined;
}

/**
 * A process' name. By its path from `pathElsewhere` where /proc does not tell: a container without `pid: host` sees host
 * pids and not their /proc.
 */
export function processName(pid: number, pathElsewhere: () => string | undefined, proc = '/proc'): string {
  return knownName(pid, proc) ?? (basename(pathElsewhere() ?? '') || UNKNOWN);
}
