/** A GPU taken for a start. */
export interface StartSlot {
  readonly release: () => void;
}

interface Wish {
  readonly modelName: string;
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
  /** GPUs on which servers of a model come up, whoever started them. */
  private readonly noted = new Map<string, readonly number[]>();

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

  /** All GPUs on which servers of a model come up now: others wait for these as for one that has a slot. */
  note(modelName: string, gpuIds: readonly number[]): void {
    if (gpuIds.length > 0) this.noted.set(modelName, gpuIds);
    else if (!this.noted.delete(modelName)) return;
    this.grantAll();
  }

  private grantAll(): void {
    const noted = [...this.noted].map(([modelName, gpuIds]) => ({ modelName, gpuIds }));
    const before: Wish[] = [...this.holders];
    for (const wish of [...this.waiting]) {
      const others = noted.filter(({ modelName }) => modelName !== wish.modelName);
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

function firstShared(a: Wish, b: Wish): number | undefined {
  return a.gpuIds.find((gpuId) => b.gpuIds.includes(gpuId));
}

function wordsOf({ modelName, doing = 'is starting' }: Wish): string {
  return `${modelName} ${doing}`;
}
