import { readdir } from 'node:fs/promises';
import { systemCodeOf } from '../common/errors.js';
import { type ProcessIdentity, type ProcessRow, rowOf, startedBefore } from '../host/process-identity.js';
import { ProcessPermissionError } from './errors.js';
import type { ProcessFacts } from '../host/process-facts.js';
import { readFacts } from '../host/read-facts.js';

/** The three things asked of the operating system. */
export interface SystemCalls {
  facts(pid: number): Promise<ProcessFacts | undefined>;
  row(pid: number): Promise<ProcessRow | undefined>;
  /** kill(2); 0 only asks whether the pid exists and may be signalled. */
  kill(pid: number, signal: NodeJS.Signals | 0): void;
}

const systemCalls: SystemCalls = {
  facts: readFacts,
  row: rowOf,
  kill: (pid, signal) => {
    process.kill(pid, signal);
  },
};

/** EPERM is the kernel's word; AppArmor, which confines containers, says EACCES. */
function isDenied(error: unknown): boolean {
  return ['EPERM', 'EACCES'].includes(systemCodeOf(error) ?? '');
}

/** The processes of this host (of this pid namespace, in a container), each told from later ones with its pid. */
export class HostProcesses {
  constructor(private readonly system: SystemCalls = systemCalls) {}

  /**
   * Who has `pid` now, zombies included; `undefined` when nobody has.
   * @throws ProcessPermissionError for a process that is hidden from this service (`hidepid`)
   */
  async facts(pid: number): Promise<ProcessFacts | undefined> {
    const facts = await this.system.facts(pid);
    if (!facts && this.existence(pid) === 'not_ours') throw new ProcessPermissionError(pid);
    return facts;
  }

  /** Every pid that this service can see. Linux; elsewhere none. */
  async pids(): Promise<readonly number[]> {
    const entries = await readdir('/proc').catch(() => []); // no /proc: nobody to be seen in it
    return entries.filter((entry) => /^\d+$/.test(entry)).map(Number);
  }

  /** Parent, grandparent and so on, nearest first. */
  async ancestorsOf(pid: number): Promise<readonly number[]> {
    const ancestors: number[] = [];
    let child = await this.system.row(pid);
    while (child && child.parentPid > 0 && !ancestors.includes(child.parentPid)) {
      const parent = await this.system.row(child.parentPid);
      // Whoever is younger than its child has a reused pid.
      if (parent && startedBefore(child, parent)) break;
      ancestors.push(child.parentPid);
      child = parent;
    }
    return ancestors;
  }

  /**
   * This very process, while it runs. A zombie doesn't: it has let go of its memory and files, and only its parent can
   * clear the rest away.
   */
  async running(target: ProcessIdentity): Promise<ProcessRow | 'unseen' | undefined> {
    const row = await this.system.row(target.pid);
    // No row may mean that it can't be read just now. Only the kernel's "no such process" is proof.
    if (!row) return this.existence(target.pid) === 'none' ? undefined : 'unseen';
    return row.alive && row.startTime === target.startTime ? row : undefined;
  }

  /**
   * Sends `signal` if it is certain that the pid still is this process. Between that look and the signal lies no wait
   * on Linux, so for a mix-up the host would have to use up all of its pids within microseconds.
   * @returns false when the process was gone
   * @throws ProcessPermissionError
   */
  async signal(target: ProcessIdentity, signal: NodeJS.Signals): Promise<boolean> {
    const running = await this.running(target);
    if (running === undefined) return false;
    if (running === 'unseen') throw new ProcessPermissionError(target.pid);
    try {
      this.system.kill(target.pid, signal);
      return true;
    } catch (error) {
      if (systemCodeOf(error) === 'ESRCH') return false;
      if (isDenied(error)) throw new ProcessPermissionError(target.pid, { cause: error });
      throw error;
    }
  }

  private existence(pid: number): 'ours' | 'not_ours' | 'none' {
    try {
      this.system.kill(pid, 0);
      return 'ours';
    } catch (error) {
      if (systemCodeOf(error) === 'ESRCH') return 'none';
      if (isDenied(error)) return 'not_ours';
      throw error;
    }
  }
}
