/** A GPU taken for a start. */
export interface StartSlot {
  readonly release: () => void;
}

interface Wish {
  readonly modelName: string;
  /** Of the model; left out: it is the model. */
  readonly unit?: string;
  readonly gpuIds: readonly number[];
  /** What it does with them; left out: it starts. */
  readonly doing?: string;
}

interface Waiting extends Wish {
  readonly grant: (slot: StartSlot) => void;
  readonly tell: (words: string) => void;
}

/**
 * One start, or sleep or wake, at a time per GPU, for backends that measure free memory as they start: two at once would
 * each count the other's memory as free. All GPUs of a wish are granted together, so that no two can wait for each other, and in the order
 * of asking, so that nobody waits for ever.
 */
export class StartSlots {
  private holders: readonly Wish[] = [];
  private waiting: Waiting[] = [];
  /** By unit: GPUs on which its server comes up, whoever started it. */
  private readonly noted = new Map<string, Wish>();

  /**
   * Resolves when all these GPUs are free of starts; they are taken until the slot is released.
   * @param onWait who is waited for, in words
   * @throws the signal's reason
   */
  async take(wish: Wish, signal: AbortSignal, onWait: (words: string) => void): Promise<StartSlot> {
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.waiting = this.waiting.filter((each) => each !== waiting);
        this.grantAll(); // whoever came later may have waited for this one alone
        reject(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)));
      };
      const waiting: Waiting = {
        ...wish,
        tell: onWait,
        grant: (slot) => {
          signal.removeEventListener('abort', onAbort);
          resolve(slot);
        },
      };
      signal.addEventListener('abort', onAbort, { once: true });
      this.waiting.push(waiting);
      this.grantAll();
    });
  }

  /** All GPUs on which the server of a unit comes up now: others wait for these as for one that has a slot. */
  note(who: Pick<Wish, 'modelName' | 'unit'>, gpuIds: readonly number[]): void {
    const key = unitOf(who);
    if (gpuIds.length > 0) this.noted.set(key, { ...who, gpuIds });
    else if (!this.noted.delete(key)) return;
    this.grantAll();
  }

  private grantAll(): void {
    const before: Wish[] = [...this.holders];
    for (const wish of [...this.waiting]) {
      const others = [...this.noted.values()].filter((each) => unitOf(each) !== unitOf(wish));
      const blocker = [...before, ...others].find((each) => firstShared(each, wish) !== undefined);
      if (blocker) wish.tell(`waiting: ${wordsOf(blocker)} on GPU ${String(firstShared(blocker, wish))}`);
      else this.grant(wish);
      before.push(wish);
    }
  }

  private grant(wish: Waiting): void {
    this.waiting = this.waiting.filter((each) => each !== wish);
    this.holders = [...this.holders, wish];
    wish.grant({
      release: () => {
        if (!this.holders.includes(wish)) return;
        this.holders = this.holders.filter((each) => each !== wish);
        this.grantAll();
      },
    });
  }
}

function unitOf({ modelName, unit = modelName }: Pick<Wish, 'modelName' | 'unit'>): string {
  return unit;
}

function firstShared(a: Wish, b: Wish): number | undefined {
  return a.gpuIds.find((gpuId) => b.gpuIds.includes(gpuId));
}

function wordsOf({ modelName, doing = 'is starting' }: Wish): string {
  return `${modelName} ${doing}`;
}
