import type { Clock } from '../../common/clock.js';

/**
 * How a load ended: `through`, the backend has answered it; `broken`, its server has died, of it or of another; `left`, it
 * was interrupted, or has not begun after all.
 */
export type LoadOutcome = 'through' | 'broken' | 'left';

/** A load that is in flight, of one unit into one server. */
export interface Load {
  end(outcome: LoadOutcome): void;
}

/** A unit, and the server that it is on. */
export interface Wish {
  readonly server: string;
  readonly unit: string;
}

/** Times are monotonic ms. */
interface LoadRecord extends Wish {
  readonly beganMs: number;
  readonly endedMs?: number;
  readonly outcome?: LoadOutcome;
}

interface Waiting extends Wish {
  readonly tell: (words: string) => void;
  readonly grant: (load: Load) => void;
}

/** An end that this service has brought about, and the units that have been told of it, or know. */
interface PurposefulEnd {
  readonly server: string;
  /** Why, in words. */
  readonly reason: string;
  /** Monotonic ms; infinite while it is under way. */
  untilMs: number;
  readonly told: Set<string>;
}

/** Deaths of a server that are remembered: each unit asks about the last one soon after it. */
const DEATHS_KEPT = 16;

/**
 * Which loads were in flight on a server when it died, so that the death is charged to these and not to what served beside
 * them. A unit that is suspected loads alone, one suspect after another: the next death tells which of them it was. The
 * others never wait.
 */
export class ServerLoads {
  /** In flight, and the last one of each unit. */
  private records: readonly LoadRecord[] = [];
  private waiting: readonly Waiting[] = [];
  private readonly deaths = new Map<string, readonly number[]>();
  /** The ends on purpose that are under way, and the last one of each server. */
  private ends: readonly PurposefulEnd[] = [];

  constructor(private readonly clock: Pick<Clock, 'monotonicMs'>) {}

  /** A load begins, beside whatever else is loading. */
  begin({ server, unit }: Wish): Load {
    const record: LoadRecord = { server, unit, beganMs: this.clock.monotonicMs() };
    this.records = [...this.records.filter((each) => each.unit !== unit || each.server !== server), record];
    return {
      end: (outcome) => {
        const endedMs = this.clock.monotonicMs();
        this.records = this.records.map((each) => (each === record ? { ...record, endedMs, outcome } : each));
        if (outcome === 'broken') this.noteDeath(server, endedMs);
        this.grantNext();
      },
    };
  }

  /**
   * Resolves when no other load is in flight on the server; the load of this unit has begun then.
   * @param tell which load is waited for, in words; `undefined` once none is
   * @throws the signal's reason
   */
  async beginAlone(
    wish: Wish,
    signal: AbortSignal,
    tell: (words: string | undefined) => void,
  ): Promise<Load> {
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      let hasWaited = false;
      const onAbort = (): void => {
        this.waiting = this.waiting.filter((each) => each !== waiting);
        reject(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)));
      };
      const waiting: Waiting = {
        ...wish,
        tell: (words) => {
          hasWaited = true;
          tell(words);
        },
        grant: (load) => {
          signal.removeEventListener('abort', onAbort);
          if (hasWaited) tell(undefined);
          resolve(load);
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.waiting = [...this.waiting, waiting];
      this.grantNext();
    });
  }

  /**
   * A server is about to be ended on purpose by a unit, which is charged to none of the others. To be told afterwards whether
   * it has ended.
   */
  beginEnd({ server, unit }: Wish, reason: string): (hasEnded: boolean) => void {
    const end: PurposefulEnd = { server, reason, untilMs: Infinity, told: new Set([unit]) };
    this.ends = [...this.ends, end];
    return (hasEnded) => {
      const isOver = (each: PurposefulEnd): boolean =>
        hasEnded && each.server === server && each.untilMs < Infinity;
      this.ends = [...this.ends.filter((each) => each !== end && !isOver(each)), ...(hasEnded ? [end] : [])];
      end.untilMs = this.clock.monotonicMs();
    };
  }

  /**
   * Why the server was ended on purpose after `readyMs`, when it was last seen to serve a unit; `undefined`: it was not, or
   * the unit was told already (`diedOfAnother`).
   */
  purposeOf(wish: Wish, readyMs: number): string | undefined {
    return this.untold(wish, readyMs)?.reason;
  }

  /**
   * A unit has seen that its server died, after `readyMs`, when it served. Says whether a load of another unit was in
   * flight at that death, which its first witness has noted; or the server was ended on purpose.
   */
  diedOfAnother({ server, unit }: Wish, readyMs: number): boolean {
    const onPurpose = this.untold({ server, unit }, readyMs);
    if (onPurpose) {
      onPurpose.told.add(unit);
      return true;
    }
    const now = this.clock.monotonicMs();
    const known = this.deaths.get(server)?.find((at) => at >= readyMs);
    if (known === undefined) this.noteDeath(server, now);
    const diedMs = known ?? now;
    return this.records
      .filter((each) => each.server === server && each.unit !== unit && each.beganMs < diedMs)
      .some(
        ({ outcome, endedMs = now }) => outcome === undefined || (outcome === 'broken' && endedMs >= readyMs),
      );
  }

  private untold({ server, unit }: Wish, readyMs: number): PurposefulEnd | undefined {
    return this.ends.find((end) => end.server === server && readyMs <= end.untilMs && !end.told.has(unit));
  }

  private noteDeath(server: string, atMs: number): void {
    this.deaths.set(server, [...(this.deaths.get(server) ?? []), atMs].slice(-DEATHS_KEPT));
  }

  private grantNext(): void {
    for (const wish of [...this.waiting]) {
      const other = this.records.find(
        ({ server, unit, endedMs }) => server === wish.server && unit !== wish.unit && endedMs === undefined,
      );
      if (other) {
        wish.tell(`waiting: ${other.unit} is loading on ${wish.server}`);
        continue;
      }
      this.waiting = this.waiting.filter((each) => each !== wish);
      wish.grant(this.begin(wish));
    }
  }
}
