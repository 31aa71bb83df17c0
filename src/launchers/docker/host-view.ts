import { readFile, realpath } from 'node:fs/promises';
import { containerIdOf } from '../../host/container-id.js';
import type { Containers } from './containers.js';

/**
 * Whether this service sees the files that the Engine mounts. In a container of its own it does not: there the Engine
 * knows the container, or its socket was mounted into it.
 */
export class HostView {
  private isOwn: Promise<boolean> | undefined;

  constructor(
    private readonly containers: Containers,
    private readonly socketPath: string,
  ) {}

  /** Asked once. @throws EngineUnavailableError */
  async isShared(signal: AbortSignal): Promise<boolean> {
    this.isOwn ??= isMountPoint(this.socketPath);
    if (await this.isOwn) return false;
    const id = await containerIdOf(process.pid);
    return id === undefined || (await this.containers.findById(id, signal)) === undefined;
  }
}

async function isMountPoint(path: string): Promise<boolean> {
  try {
    const [own, mounts] = await Promise.all([realpath(path), readFile('/proc/self/mountinfo', 'utf8')]);
    // Source: proc_pid_mountinfo(5); the fifth field is the mount point.
    return mounts.split('\n').some((line) => line.split(' ')[4] === own);
  } catch {
    return false; // no /proc, or no socket: then there is no Engine to mount anything
  }
}
