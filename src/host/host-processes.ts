import { DomainError, systemCodeOf } from '../common/errors.js';
import { type ProcessIdentity, type ProcessRow, rowOf } from './process-identity.js';
import { type ProcessFacts, readFacts } from './process-facts.js';
import { ancestorsOf, nearestAncestor } from './process-parent.js';
import { listPids } from './process-table.js';

/** The operating system does not let this service signal it. */
export class ProcessPermissionError extends DomainError {
  readonly code = 'PROCESS_PERMISSION';
  readonly kind = 'forbidden';

  constructor(pid: number, options?: ErrorOptions) {
    super(
      `This service lacks the permission to end process ${pid}: run it as root or as the user of that process, or give it CAP_KILL; in a container, AppArmor may forbid it as well.`,
      { pid },
      options,
    );
  }
}

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
  pids(): Promise<readonly number[]> {
    return listPids();
  }

  /** Parent, grandparent and so on, nearest first. */
  ancestorsOf(pid: number): Promise<readonly number[]> {
    return ancestorsOf(pid, this.rows);
  }

  /** The nearest of `pid` and its ancestors that is in `roots`. */
  nearestAncestor(pid: number, roots: ReadonlySet<number>): Promise<number | undefined> {
    return nearestAncestor(pid, roots, this.rows);
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

  private readonly rows = (pid: number): Promise<ProcessRow | undefined> => this.system.row(pid);

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
