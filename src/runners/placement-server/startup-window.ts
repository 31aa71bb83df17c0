import { performance } from 'node:perf_hooks';
import type { ServerInfo } from '../../launchers/launcher.js';

/**
 * Whether a server that does not answer may still be coming up: it has never been ready, and its time is not over. What
 * is remembered is about one run of the server at a time.
 */
export class StartupWindow {
  private run: { readonly id: string; readonly beganMs: number; wasReady: boolean } | undefined;

  /** A run of the server was seen: for the first time, its age counts; the wall clock may jump later on. */
  saw({ id, startedAt }: ServerInfo): void {
    if (this.run?.id === id) return;
    const ageMs = startedAt ? Math.max(0, Date.now() - startedAt.getTime()) : 0;
    this.run = { id, beganMs: performance.now() - ageMs, wasReady: false };
  }

  wasReady({ id }: ServerInfo): void {
    if (this.run?.id === id) this.run.wasReady = true;
  }

  isOver(info: ServerInfo, limitMs: number): boolean {
    return this.run?.id !== info.id || this.run.wasReady || this.leftMs(info, limitMs) === 0;
  }

  /** What is left of `limitMs` from the launch on, ms. */
  leftMs({ id }: ServerInfo, limitMs: number): number {
    if (this.run?.id !== id) return 0;
    return Math.max(0, this.run.beganMs + limitMs - performance.now());
  }
}
