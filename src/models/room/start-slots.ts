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
  private readonly holders = new Map<number, string>();
  private waiting: Waiting[] = [];

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

  private grantAll(): void {
    const claimed = new Map<number, string>(this.holders);
    for (const wish of [...this.waiting]) {
      const blocked = wish.gpuIds.find((gpuId) => claimed.has(gpuId));
      for (const gpuId of wish.gpuIds) if (!claimed.has(gpuId)) claimed.set(gpuId, wordsOf(wish));
      if (blocked === undefined) this.grant(wish);
      else wish.tell(`waiting: ${claimed.get(blocked) ?? 'another model is starting'} on GPU ${blocked}`);
    }
  }

  private grant(wish: Waiting): void {
    this.waiting = this.waiting.filter((each) => each !== wish);
    for (const gpuId of wish.gpuIds) this.holders.set(gpuId, wordsOf(wish));
    let isHeld = true;
    wish.grant({
      release: () => {
        if (!isHeld) return;
        isHeld = false;
        for (const gpuId of wish.gpuIds) this.holders.delete(gpuId);
        this.grantAll();
      },
    });
  }
}

function wordsOf({ modelName, doing = 'is starting' }: Wish): string {
  return `${modelName} ${doing}`;
}
