import type { ChildProcess } from 'node:child_process';
import { constants } from 'node:os';
import { isAlive, type ProcessIdentity } from '../../host/process-identity.js';

/** How a process ended. `exitCode` is 128 + signal number for one that a signal ended, as shells and Docker say it. */
export interface ProcessEnd {
  readonly exitCode: number | null;
  readonly reason?: string;
}

const POLL_MS = 250;

/** The end of a child, from the arguments of its `exit` event. */
function endOf(code: number | null, signal: NodeJS.Signals | null): ProcessEnd {
  if (signal === null) return { exitCode: code };
  return { exitCode: 128 + constants.signals[signal], reason: `ended by ${signal}` };
}

/** Notices the end of processes: of children by their event, of adopted ones by looking. Keeps no process alive for it. */
export class ProcessWatch {
  private readonly watched = new Set<string>();
  /** Children by launch id, until their exit event has come. */
  private readonly children = new Map<string, Promise<void>>();
  private readonly adopted = new Map<string, { identity: ProcessIdentity; onEnd: () => void }>();
  private timer: NodeJS.Timeout | undefined;
  private closed = false;

  /** Calls `onEnd` once, when the child has ended. `launchId` keeps it from being adopted as well. */
  child(launchId: string, child: ChildProcess, onEnd: (end: ProcessEnd) => void): void {
    this.watched.add(launchId);
    const exit = new Promise<void>((resolve) => {
      child.once('exit', (code, signal) => {
        this.watched.delete(launchId);
        this.children.delete(launchId);
        if (!this.closed) onEnd(endOf(code, signal));
        resolve();
      });
    });
    this.children.set(launchId, exit);
  }

  /** Of a child that is a zombie, resolves when its exit event has come, which tells how it ended: in a moment. */
  async exitSeen(launchId: string): Promise<void> {
    await this.children.get(launchId);
  }

  /** Calls `onEnd` once, within a quarter of a second after the process ended. Nothing if it is watched already. */
  adopt(launchId: string, identity: ProcessIdentity, onEnd: () => void): void {
    if (this.closed || this.watched.has(launchId)) return;
    this.watched.add(launchId);
    this.adopted.set(launchId, { identity, onEnd });
    this.schedule();
  }

  /** No more calls of any `onEnd`. */
  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.adopted.clear();
  }

  private schedule(): void {
    if (this.timer !== undefined || this.closed || this.adopted.size === 0) return;
    this.timer = setTimeout(() => {
      void this.look().finally(() => {
        this.timer = undefined;
        this.schedule();
      });
    }, POLL_MS);
    this.timer.unref();
  }

  private async look(): Promise<void> {
    for (const [launchId, { identity, onEnd }] of this.adopted) {
      if (await isAlive(identity)) continue;
      // Closed, or ended and reported, while we looked.
      if (!this.adopted.delete(launchId)) continue;
      this.watched.delete(launchId);
      onEnd();
    }
  }
}
