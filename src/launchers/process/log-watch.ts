import { Logger } from '@nestjs/common';
import { messageOf, systemCodeOf } from '../../common/errors.js';

/** Looks at one log, and sets aside what is too much; resolves with its size then, bytes. */
export type LogLook = () => Promise<number>;

/** Between two looks, ms: the more often, the faster a log grows, and the less it takes to fill it all at once. */
const INTERVAL = { least: 10, calm: { least: 50, most: 1000 } } as const;
/** What a server that was calm may write all at once, bytes per ms. */
const BURST = 50_000;

/**
 * Keeps the logs of servers within their bound while these run. A server writes to its file itself, so that the only way is
 * to look: often enough that no more than half the bound comes between two looks. Keeps no process alive.
 */
export class LogWatch {
  private readonly timers = new Map<string, NodeJS.Timeout>();
  private readonly logger = new Logger('ProcessLauncher');
  /** By name, what was said of the last looks. */
  private readonly faults = new Map<string, string>();
  private isClosed = false;
  private readonly calmMs: number;

  constructor(private readonly maxBytes: number) {
    const { least, most } = INTERVAL.calm;
    this.calmMs = Math.min(most, Math.max(least, maxBytes / 2 / BURST));
  }

  /** From now on, at once first; one watch per name. */
  begin(name: string, look: LogLook): void {
    this.end(name);
    this.next(name, look, INTERVAL.least, 0);
  }

  end(name: string): void {
    clearTimeout(this.timers.get(name));
    this.timers.delete(name);
    this.faults.delete(name);
  }

  close(): void {
    this.isClosed = true;
    for (const name of [...this.timers.keys()]) this.end(name);
  }

  private next(name: string, look: LogLook, afterMs: number, sizeBefore: number): void {
    if (this.isClosed) return;
    const begun = performance.now();
    const timer = setTimeout(() => {
      void this.look(name, look).then((size) => {
        // Ended meanwhile, or begun anew.
        if (this.timers.get(name) !== timer) return;
        const perMs = Math.max(0, size - sizeBefore) / (performance.now() - begun);
        const untilHalfMs = this.maxBytes / 2 / perMs;
        const calmer = Math.min(afterMs * 2, this.calmMs);
        this.next(name, look, Math.max(INTERVAL.least, Math.min(calmer, untilHalfMs / 2)), size);
      });
    }, afterMs);
    timer.unref();
    this.timers.set(name, timer);
  }

  private async look(name: string, look: LogLook): Promise<number> {
    try {
      const size = await look();
      this.faults.delete(name);
      return size;
    } catch (error) {
      const fault = systemCodeOf(error) ?? messageOf(error);
      if (this.faults.get(name) !== fault)
        this.logger.warn(`The log of ${name} could not be kept within its bound: ${messageOf(error)}`);
      this.faults.set(name, fault);
      return 0;
    }
  }
}
