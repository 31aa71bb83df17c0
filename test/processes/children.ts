import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

/** Real processes for a test, each its own shell; `endAll` ends them, what they started, and nothing else. */
export class Children {
  private readonly children: ChildProcess[] = [];
  private readonly pids = new Set<number>();

  /**
   * Runs a shell script and returns the first line that it prints, once it has, and the shell's pid. Where the script ends in
   * another program, that runs by then.
   */
  async start(script: string): Promise<{ pid: number; line: string; ended: Promise<unknown> }> {
    const child = spawn('sh', ['-c', script], {
      detached: true,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    this.children.push(child);
    const ended = once(child, 'exit');
    const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
    const pid = child.pid ?? 0;
    this.pids.add(pid);
    const program = /; exec (\w+)/.exec(script)?.[1];
    while (program !== undefined && (await nameOf(pid)) !== program) await sleep(1);
    return { pid, line, ended };
  }

  /** A process that one of the scripts has started. */
  own(pid: number): void {
    this.pids.add(pid);
  }

  has(pid: number): boolean {
    return this.pids.has(pid);
  }

  async endAll(): Promise<void> {
    await Promise.all(
      this.children.map(async (child) => {
        const ended = child.exitCode === null && child.signalCode === null && once(child, 'exit');
        try {
          process.kill(-(child.pid ?? 0), 'SIGKILL');
        } catch {
          // The whole group has ended already.
        }
        await ended;
      }),
    );
  }
}

async function nameOf(pid: number): Promise<string> {
  return (await readFile(`/proc/${pid}/comm`, 'utf8')).trim();
}

/** Scripts that print a line when they are ready. */
export const SCRIPTS = {
  polite: 'echo ready; exec sleep 60',
  /** An ignored signal stays ignored over exec. */
  stubborn: `trap '' TERM; echo ready; exec sleep 60`,
  /** Prints the pid of a child that its parent never reaps. */
  negligentParent: 'sleep 60 & echo $!; exec sleep 60',
} as const;
