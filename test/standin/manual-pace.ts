import type { Pace } from '../../standin/tritonserver/pace.js';

interface Pause {
  what: string;
  milliseconds: number;
  end: () => void;
}

/** Time that stands still: what would take time waits until the test ends it. */
export class ManualPace implements Pace {
  readonly crashes: number[] = [];
  private readonly pauses: Pause[] = [];
  private watchers: (() => void)[] = [];

  pause(milliseconds: number, what: string): Promise<void> {
    return new Promise((end) => {
      this.pauses.push({ what, milliseconds, end });
      for (const wake of this.watchers.splice(0)) wake();
    });
  }

  crash(exitCode: number): void {
    this.crashes.push(exitCode);
  }

  /** Resolves when that has begun, with the time it would take. */
  async begun(what: string): Promise<number> {
    for (;;) {
      const found = this.pauses.find((pause) => pause.what === what);
      if (found) return found.milliseconds;
      await new Promise<void>((resolve) => this.watchers.push(resolve));
    }
  }

  /** Waits until that has begun, and lets it come to its end. */
  async end(what: string): Promise<void> {
    await this.begun(what);
    const at = this.pauses.findIndex((pause) => pause.what === what);
    this.pauses.splice(at, 1)[0]?.end();
  }

  /** What takes time at present. */
  get underWay(): string[] {
    return this.pauses.map((pause) => pause.what);
  }
}
