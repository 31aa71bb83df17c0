import { endProcesses, type EndOptions, type EndTarget } from '../../host/end-processes.js';
import { StopFailedError } from '../launcher.js';
import type { ProcessGroup, Remains } from './process-group.js';

/** A server's processes, as the target of an end. */
class GroupTarget implements EndTarget<Remains> {
  private readonly asked = new Set<'group' | 'strays'>();

  constructor(private readonly group: ProcessGroup) {}

  async remains(): Promise<Remains | undefined> {
    const remains = await this.group.remains();
    return remains.group.length + remains.strays.length > 0 ? remains : undefined;
  }

  /** A zombie that its parent has not reaped counts as a member in this look, and strays do not show. */
  mayRemain({ group }: Remains): boolean {
    return group.length === 0 || this.group.mayHaveMembers();
  }

  /**
   * The polite signal comes once: to the group, and to the strays when the group is gone, as their server may well end
   * them itself. SIGKILL comes to all, at every look.
   */
  signal(signal: NodeJS.Signals, remains: Remains): void {
    if (signal === 'SIGKILL') {
      this.group.signal(signal, remains);
      return;
    }
    const asked = remains.group.length > 0 ? 'group' : 'strays';
    if (this.asked.has(asked)) return;
    this.asked.add(asked);
    this.group.signal(signal, asked === 'group' ? { group: remains.group, strays: [] } : remains);
  }
}

/**
 * Ends all processes of the server `name`. Resolves when none is alive.
 * @throws StopFailedError naming the pids that outlived SIGKILL; the signal's reason when it aborts
 */
export async function endGroup(name: string, group: ProcessGroup, options: EndOptions): Promise<void> {
  const left = await endProcesses(new GroupTarget(group), options);
  if (!left) return;
  const pids = [...left.group, ...left.strays].map((row) => row.pid);
  throw new StopFailedError(
    `${name} could not be stopped: process${pids.length === 1 ? '' : 'es'} ${pids.join(', ')} still there ` +
      `${options.killTimeoutMs / 1000} s after SIGKILL; a process that hangs in a driver ends when the driver lets go, or with a reboot`,
    { name, pids },
  );
}
