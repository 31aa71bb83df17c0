/**
 * Servers that hold more memory of models they have let go of than they may, and are to be started anew in a quiet moment.
 * Not kept on disk: the next such stop wishes it again.
 */
export class Renewals {
  private readonly wished = new Set<string>();

  /** Names of the servers. */
  get servers(): readonly string[] {
    return [...this.wished];
  }

  wish(server: string): void {
    this.wished.add(server);
  }

  /** It has ended since, for whatever reason. */
  done(server: string): void {
    this.wished.delete(server);
  }
}

/** The server of a unit is to be ended and started anew. */
export interface Renewal {
  /** Still nothing is under way on the server; asked when no launch and no stop can come between. */
  readonly isQuiet: () => boolean;
  readonly onEnded: () => void;
}
