import type { Crash, PlacementHistoryRecord } from '../../state/desired-state.js';
import type { PlacementEvent, PlacementStatus } from './placement-state.js';

/** Lines of a crashed server that are kept, and the longest of them, characters: they go into a log line and the state. */
const CRASH_LINES = 20;
const CRASH_LINE_LENGTH = 500;

/** What has become of one placement: since when, how often, and by whose doing. */
export class PlacementHistory {
  /** When it came into its present status. */
  since: Date;
  /**
   * How many times this service has started it anew by itself since a start of it was accepted: after it was lost while it
   * served, and after each try that was in vain.
   */
  restarts = 0;
  /** The last time that it was lost while it served, since a start of it was accepted. */
  lastCrash: Crash | undefined;
  /** Id of the request that the next events come of; none once the command has come to its end. */
  cause: string | undefined;
  /** The next start is one anew. */
  private isToComeBack = false;
  /** It was RUNNING when the last run of this service ended, and nobody has found it otherwise. */
  private servedSince: Date | undefined;

  constructor(createdAt: Date) {
    this.since = createdAt;
  }

  /** The last run has left it RUNNING, and it has not been found otherwise. */
  get hasServedBefore(): boolean {
    return this.servedSince !== undefined;
  }

  /** A transition has taken place. */
  applied(event: PlacementEvent, from: PlacementStatus, to: PlacementStatus, at: Date): void {
    if (event === 'start') {
      this.restarts = 0;
      this.lastCrash = undefined;
      this.servedSince = undefined;
    }
    if (to !== from) this.since = (to === 'RUNNING' ? this.servedSince : undefined) ?? at;
    if (event === 'ready') this.servedSince = undefined;
    this.isToComeBack = event === 'lost';
    if (event === 'ready' || event === 'lost') this.cause = undefined;
  }

  /** What it had is gone: it is started anew, or has to wait for that. */
  mustComeBack(): void {
    this.isToComeBack = true;
    this.servedSince = undefined;
  }

  /** A start of it begins. */
  started(): void {
    if (this.isToComeBack) this.restarts += 1;
    this.isToComeBack = false;
    this.servedSince = undefined;
  }

  /** It served, and does not any more. Returns what is kept of that. */
  crashed(at: Date, message: string, log: readonly string[]): Crash {
    this.lastCrash = { at: at.toISOString(), message, log: log.slice(-CRASH_LINES).map(shortened) };
    return this.lastCrash;
  }

  /** As it is kept on disk; a restart that is due counts as made. */
  toRecord(status: PlacementStatus): PlacementHistoryRecord {
    const since = this.servedSince ?? this.since;
    return {
      status: this.servedSince ? 'RUNNING' : status,
      since: since.toISOString(),
      restarts: this.restarts + (this.isToComeBack ? 1 : 0),
      ...(this.lastCrash && { last_crash: this.lastCrash }),
    };
  }

  /**
   * As the last run has left it.
   * @param status the present one: what served is STARTING from the boot on, until its backend says more
   * @param bootedAt when this run has begun
   */
  restore(record: PlacementHistoryRecord, status: PlacementStatus, bootedAt: Date): void {
    const since = new Date(record.since);
    this.since = record.status === status ? since : bootedAt;
    this.servedSince = record.status === 'RUNNING' && status === 'STARTING' ? since : undefined;
    this.restarts = record.restarts;
    this.lastCrash = record.last_crash;
  }
}

function shortened(line: string): string {
  return line.length > CRASH_LINE_LENGTH ? `${line.slice(0, CRASH_LINE_LENGTH)}…` : line;
}
