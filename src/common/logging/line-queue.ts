import { within } from '../deadline.js';

/** Where lines go. */
export interface LineSink {
  /** Resolves when all of `text` is written. Called again only then. @throws a system error */
  write(text: string): Promise<void>;
  close(): Promise<void>;
}

/** Hears what becomes of lines that are not written. */
export interface LineListener {
  /** The sink cannot be written. Called once, and again only after a write has worked. */
  onFailure(error: unknown): void;
  /** So many lines were lost, and lines flow again. */
  onLoss(lines: number): void;
}

/** Characters. */
export interface QueueLimits {
  /** What waits to be written; a line beyond it is lost. */
  readonly maxQueued: number;
  /** Of one write, unless a single line is longer. */
  readonly maxBatch: number;
}

const LIMITS: QueueLimits = { maxQueued: 4 * 1024 * 1024, maxBatch: 64 * 1024 };

/**
 * Lines on their way to a sink that may be slow or stall: `write` never waits, the order stays, and what waits is bounded.
 * Own code in the place of sonic-boom: that has no bounded end, counts no lost lines, and its `reopen` after a failure may
 * close a descriptor that is another file's by then.
 */
export class LineQueue {
  private readonly lines: string[] = [];
  /** Characters of the lines not yet written. */
  private queued = 0;
  private lost = 0;
  private isFailing = false;
  private isClosed = false;
  private flow: Promise<void> | undefined;

  constructor(
    private readonly sink: LineSink,
    private readonly listener: LineListener,
    private readonly limits = LIMITS,
  ) {}

  /** After `close` it takes nothing. */
  write(line: string): void {
    if (this.isClosed) return;
    if (this.queued + line.length > this.limits.maxQueued) {
      this.lost += 1;
      return;
    }
    this.lines.push(line);
    this.queued += line.length;
    this.flow ??= this.run();
  }

  /** Resolves when nothing is left to write. */
  async settled(): Promise<void> {
    while (this.flow) await this.flow;
  }

  /** Writes what is queued, and closes the sink; does not wait longer than `limitMs`. Never throws. */
  async close(limitMs: number): Promise<void> {
    this.isClosed = true;
    const end = async (): Promise<void> => {
      await this.settled();
      await this.sink.close();
    };
    await within({ ms: limitMs }, end).catch(() => undefined); // there is no log any more to tell it to
  }

  private async run(): Promise<void> {
    while (this.lines.length > 0) await this.writeBatch(this.takeBatch());
    this.flow = undefined;
    if (this.lost === 0 || this.isFailing) return;
    const { lost } = this;
    this.lost = 0;
    this.listener.onLoss(lost);
  }

  private async writeBatch(batch: readonly string[]): Promise<void> {
    const text = batch.join('');
    try {
      await this.sink.write(text);
      this.isFailing = false;
    } catch (error) {
      this.lost += batch.length;
      if (!this.isFailing) this.listener.onFailure(error);
      this.isFailing = true;
    } finally {
      this.queued -= text.length;
    }
  }

  private takeBatch(): string[] {
    let length = 0;
    const end = this.lines.findIndex((line) => (length += line.length) > this.limits.maxBatch);
    return this.lines.splice(0, end === -1 ? this.lines.length : Math.max(1, end));
  }
}
