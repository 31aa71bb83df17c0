import { endProcesses, type EndOptions, type EndTarget } from '../../host/end-processes.js';
import { StopFailedError } from '../launcher.js';
import type { ProcessRow } from '../../host/process-identity.js';
import { keyOf, type ProcessGroup, type Remains } from './process-group.js';
import { frontOf, hasClients, type ServerFront } from './server-front.js';

/**
 * A server's processes, as the target of an end. Asked politely is the server's front alone: a signal to its workers would
 * end them under its requests. The others are asked once the front is gone and no client is connected any more: the workers
 * of a main process that ends at once may still answer. What has not ended when the grace is over gets SIGKILL.
 */
class GroupTarget implements EndTarget<Remains> {
  private readonly asked = new Set<'front' | 'group' | 'strays'>();
  /** `undefined` before the first signal; `null`: all are asked. */
  private front: ServerFront | null | undefined;

  constructor(private readonly group: ProcessGroup) {}

  async remains(): Promise<Remains | undefined> {
    const remains = await this.group.remains();
    return remains.group.length + remains.strays.length > 0 ? remains : undefined;
  }

  /** A zombie that its parent has not reaped counts as a member in this look, and strays do not show. */
  mayRemain({ group }: Remains): boolean {
    return group.length === 0 || this.group.mayHaveMembers();
  }

  /** The polite signal comes once to each; SIGKILL comes to all, at every look. */
  async signal(signal: NodeJS.Signals, remains: Remains): Promise<void> {
    if (signal === 'SIGKILL') {
      this.group.signal(signal, remains);
      return;
    }
    const family = [...remains.group, ...remains.strays];
    if (this.front === undefined) this.front = (await frontOf(this.group.leaderPid, family)) ?? null;
    if (this.front && (await this.askFront(signal, this.front, family))) return;
    this.front = null;
    this.askAll(signal, remains);
  }

  /** Says whether all others have to wait. */
  private async askFront(
    signal: NodeJS.Signals,
    { rows, ports }: ServerFront,
    family: readonly ProcessRow[],
  ): Promise<boolean> {
    const keys = new Set(rows.map(keyOf));
    const living = family.filter((row) => keys.has(keyOf(row)));
    if (living.length === 0) return hasClients(ports);
    if (this.isFirst('front')) this.group.signal(signal, { group: [], strays: living });
    return true;
  }

  /** The group, and the strays when the group is gone, as their server may well end them itself. */
  private askAll(signal: NodeJS.Signals, { group, strays }: Remains): void {
    const whom = group.length > 0 ? 'group' : 'strays';
    if (this.isFirst(whom))
      this.group.signal(signal, whom === 'group' ? { group, strays: [] } : { group, strays });
  }

  private isFirst(whom: 'front' | 'group' | 'strays'): boolean {
    const isFirst = !this.asked.has(whom);
    this.asked.add(whom);
    return isFirst;
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
