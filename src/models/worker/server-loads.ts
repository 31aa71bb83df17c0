import type { Clock } from '../../common/clock.js';

/** A load that is in flight, of one unit into one server. */
export interface Load {
  /** @param isThrough the backend has answered it; otherwise the server may have died of it */
  end(isThrough: boolean): void;
  /** It does not begin after all. */
  cancel(): void;
}

interface Wish {
  readonly server: string;
  readonly unit: string;
}

interface Waiting extends Wish {
  readonly tell: (words: string) => void;
  readonly grant: (load: Load) => void;
}

/**
 * Which loads are in flight on each server, so that its death is charged to them and not to whoever served beside them.
 * A unit that is suspected (a load of it was in flight when the server died) loads alone, one suspect after another:
 * the next death tells which of them it was. Others never wait.
 */
export class ServerLoads {
  private inFlight: readonly Wish[] = [];
  private waiting: readonly Waiting[] = [];
  /** Server → unit → when its last load ended that did not come through, monotonic ms. */
  private readonly broken = new Map<string, Map<string, number>>();

  constructor(private readonly clock: Pick<Clock, 'monotonicMs'>) {}

  /** A load begins, beside whatever others do. */
  begin(wish: Wish): Load {
    this.inFlight = [...this.inFlight, wish];
    const cancel = (): void => {
      this.inFlight = this.inFlight.filter((each) => each !== wish);
      this.grantNext();
    };
    return {
      cancel,
      end: (isThrough) => {
        this.note(wish, isThrough);
        cancel();
      },
    };
  }

  /**
   * Resolves when no other load is in flight on the server; the load of this unit has begun then.
   * @param tell who is waited for, in words
   * @throws the signal's reason
   */
  beginAlone(wish: Wish, signal: AbortSignal, tell: (words: string) => void): Promise<Load> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(asError(signal.reason));
        return;
      }
      const onAbort = (): void => {
        this.waiting = this.waiting.filter((each) => each !== waiting);
        reject(asError(signal.reason));
      };
      const waiting: Waiting = {
        ...wish,
        tell,
        grant: (load) => {
          signal.removeEventListener('abort', onAbort);
          resolve(load);
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.waiting = [...this.waiting, waiting];
      this.grantNext();
    });
  }

  /** Another unit's load is in flight on this server, or has been since `sinceMs` and did not come through. */
  mayHaveDiedOfOthers({ server, unit }: Wish, sinceMs: number): boolean {
    if (this.others({ server, unit }).length > 0) return true;
    const broken = this.broken.get(server) ?? new Map<string, number>();
    return [...broken].some(([other, endedMs]) => other !== unit && endedMs >= sinceMs);
  }

  private others({ server, unit }: Wish): Wish[] {
    return this.inFlight.filter((each) => each.server === server && each.unit !== unit);
  }

  private note({ server, unit }: Wish, isThrough: boolean): void {
    const broken = this.broken.get(server) ?? new Map<string, number>();
    if (isThrough) broken.delete(unit);
    else broken.set(unit, this.clock.monotonicMs());
    if (broken.size > 0) this.broken.set(server, broken);
    else this.broken.delete(server);
  }

  private grantNext(): void {
    for (const wish of [...this.waiting]) {
      const [other] = this.others(wish);
      if (other) {
        wish.tell(`waiting: ${other.unit} is loading on ${wish.server}`);
        continue;
      }
      this.waiting = this.waiting.filter((each) => each !== wish);
      wish.grant(this.begin({ server: wish.server, unit: wish.unit }));
    }
  }
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
