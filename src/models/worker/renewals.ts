/** One run of a server. */
export interface ServerRun {
  readonly name: string;
  /** Of its main process. */
  readonly pid: number;
}

/**
 * Runs of servers that hold more memory of models they have let go of than they may, and are to be started anew in a quiet
 * moment. Not kept on disk: the next such stop wishes it again.
 */
export class Renewals {
  private readonly wished = new Map<string, number>();

  /** At most one run of each server. */
  get runs(): readonly ServerRun[] {
    return [...this.wished].map(([name, pid]) => ({ name, pid }));
  }

  wish({ name, pid }: ServerRun): void {
    this.wished.set(name, pid);
  }

  /** It has ended since, for whatever reason. */
  done({ name, pid }: ServerRun): void {
    if (this.wished.get(name) === pid) this.wished.delete(name);
  }
}

/** The server of a unit is to be ended and started anew. */
export interface Renewal {
  /** Still nothing is under way on the run; asked when no launch and no stop can come between. */
  readonly isQuiet: () => boolean;
  readonly onEnded: () => void;
}
