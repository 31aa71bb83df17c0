import { readdir, readFile } from 'node:fs/promises';
import { type ProcessRow, readRow, readRowsFromPs } from './process-identity.js';

/** Rows read before the event loop gets its turn. */
const BATCH = 64;

/** Every pid in `/proc`: of the host, or of the pid namespace, in a container. None where there is no `/proc`. */
export async function listPids(): Promise<readonly number[]> {
  const entries = await readdir('/proc').catch(() => []);
  return entries.filter((entry) => /^\d+$/.test(entry)).map(Number);
}

/** Every process of the host (of the pid namespace, in a container), zombies included. */
export async function listProcesses(): Promise<readonly ProcessRow[]> {
  if (process.platform !== 'linux') return readRowsFromPs(['-A']);
  const rows: ProcessRow[] = [];
  for (const [index, pid] of (await listPids()).entries()) {
    const row = readRow(pid);
    if (row) rows.push(row);
    if (index % BATCH === BATCH - 1) await new Promise((resolve) => setImmediate(resolve));
  }
  return rows;
}

/**
 * The environment that `pid` was started with; empty when it is not readable (another user's process, no `/proc`), and
 * useless when the program has written its title over it, as setproctitle does.
 */
export async function environmentOf(pid: number): Promise<ReadonlyMap<string, string>> {
  let content: string;
  try {
    content = await readFile(`/proc/${pid}/environ`, 'utf8');
  } catch {
    // Gone, not ours to read, or no /proc: in each case it says nothing.
    return new Map();
  }
  return new Map(
    content.split('\0').flatMap((entry) => {
      const equals = entry.indexOf('=');
      return equals > 0 ? [[entry.slice(0, equals), entry.slice(equals + 1)]] : [];
    }),
  );
}
