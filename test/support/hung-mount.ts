import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants } from 'node:fs';

const PROGRAM = 'test/real/hung_mount.py';

/** A file system over a directory that never answers, as NFS whose server is gone. What waits for it fails when it goes. */
export class HungMount {
  private constructor(
    private readonly directory: string,
    private readonly child: ChildProcess,
  ) {}

  /** What is needed: root, FUSE in the kernel, Python. */
  static isPossible(): boolean {
    try {
      accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
    } catch {
      return false;
    }
    return process.getuid?.() === 0 && spawnSync('python3', ['--version']).status === 0;
  }

  static async over(directory: string): Promise<HungMount> {
    const child = spawn('python3', [PROGRAM, directory], { stdio: ['pipe', 'pipe', 'inherit'] });
    const ended = once(child, 'exit').then(() => Promise.reject(new Error(`${PROGRAM} ended`)));
    await Promise.race([once(child.stdout, 'data'), ended]);
    ended.catch(() => undefined);
    return new HungMount(directory, child);
  }

  /** The directory is as it was before. */
  async end(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const ended = once(this.child, 'exit');
      this.child.stdin?.end();
      await ended;
    }
    // Where the program was ended before it could.
    spawnSync('umount', ['--lazy', this.directory], { stdio: 'ignore' });
  }
}
