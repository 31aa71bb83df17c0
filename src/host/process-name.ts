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

/**
 * A process' name as `ps` and the seed's psutil show it: `comm`, completed from the command line where it was
 * cut. By its path from `pathElsewhere` where /proc does not tell: a container without `pid: host` sees host pids and not their /proc.
 */
export function processName(pid: number, pathElsewhere: () => string | undefined, proc = '/proc'): string {
  const comm = read(`${proc}/${pid}/comm`)?.trimEnd();
  if (comm) {
    if (comm.length < COMM_LENGTH) return comm;
    const program = basename(read(`${proc}/${pid}/cmdline`)?.split('\0')[0] ?? '');
    return program.startsWith(comm) ? program : comm;
  }
  return basename(pathElsewhere() ?? '') || UNKNOWN;
}
