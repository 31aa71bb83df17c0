import { jest } from '@jest/globals';
import { LineQueue, type LineSink } from '../../src/common/logging/line-queue.js';

const LIMITS = { maxQueued: 1000, maxBatch: 100 };

/** Takes each text when the test lets it, and notes it. */
class GatedSink implements LineSink {
  readonly texts: string[] = [];
  isStalled = false;
  failure: Error | undefined;
  closes = 0;
  active = 0;
  private release: () => void = () => undefined;

  async write(text: string): Promise<void> {
    this.active += 1;
    expect(this.active).toBe(1);
    if (this.isStalled) await new Promise<void>((resolve) => (this.release = resolve));
    else await Promise.resolve();
    this.active -= 1;
    if (this.failure) throw this.failure;
    this.texts.push(text);
  }

  close(): Promise<void> {
    this.closes += 1;
    return Promise.resolve();
  }

  thaw(): void {
    this.isStalled = false;
    this.release();
  }

  get lines(): string[] {
    return this.texts.join('').split('\n').slice(0, -1);
  }
}

let sink: GatedSink;
let lost: number[];
let failures: unknown[];
let queue: LineQueue;

beforeEach(() => {
  sink = new GatedSink();
  lost = [];
  failures = [];
  queue = new LineQueue(
    sink,
    { onLoss: (lines) => lost.push(lines), onFailure: (error) => failures.push(error) },
    LIMITS,
  );
});

const numbered = (count: number) => Array.from({ length: count }, (_, index) => `line ${index}`);
const writeAll = (lines: readonly string[]) => {
  for (const line of lines) queue.write(`${line}\n`);
};

describe('lines that are queued', () => {
  it('are written in order, one write after another, many lines in each but no more than it may', async () => {
    writeAll(numbered(50));
    await queue.settled();
    expect(sink.lines).toEqual(numbered(50));
    expect(sink.texts.length).toBeLessThan(10);
    expect(Math.max(...sink.texts.map((text) => text.length))).toBeLessThanOrEqual(LIMITS.maxBatch);
    expect(lost).toEqual([]);
  });

  it('are written whole, also one that is longer than a write should be', async () => {
    const long = 'x'.repeat(500);
    writeAll(['first', long, 'last']);
    await queue.settled();
    expect(sink.lines).toEqual(['first', long, 'last']);
  });

  it('wait for a disk that is stalled, as many as fit; the others are counted, and that is said once it flows', async () => {
    sink.isStalled = true;
    const lines = numbered(10_000);
    writeAll(lines);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(sink.texts).toEqual([]);
    expect(lost).toEqual([]); // nobody could read it yet
    sink.thaw();
    await queue.settled();
    const written = sink.lines;
    expect(written).toEqual(lines.slice(0, written.length));
    expect(written.join('\n').length).toBeLessThanOrEqual(LIMITS.maxQueued);
    expect(written.length).toBeGreaterThan(50);
    expect(lost).toEqual([lines.length - written.length]);
  });

  it('have their room again when they are written', async () => {
    for (let round = 0; round < 20; round += 1) {
      writeAll(numbered(50));
      await queue.settled();
    }
    expect(sink.lines).toHaveLength(1000);
    expect(lost).toEqual([]);
  });

  it('that cannot be written are lost and counted; that is told once, and again after it has worked', async () => {
    const full = new Error('ENOSPC: no space left on device');
    sink.failure = full;
    writeAll(['one', 'two']);
    await queue.settled();
    writeAll(['three']);
    await queue.settled();
    expect(failures).toEqual([full]);
    expect(lost).toEqual([]);
    sink.failure = undefined;
    writeAll(['four']);
    await queue.settled();
    expect(sink.lines).toEqual(['four']);
    expect(lost).toEqual([3]);
    sink.failure = full;
    writeAll(['five']);
    await queue.settled();
    expect(failures).toHaveLength(2);
  });

  it('are taken while the loss before them is said', async () => {
    const speaking = new LineQueue(
      sink,
      {
        onLoss: (lines) => {
          speaking.write(`${lines} lost\n`);
        },
        onFailure: () => undefined,
      },
      LIMITS,
    );
    sink.isStalled = true;
    for (const line of numbered(1000)) speaking.write(`${line}\n`);
    sink.thaw();
    await speaking.settled();
    expect(sink.lines.at(-1)).toMatch(/^\d+ lost$/);
  });
});

describe('the end of a queue', () => {
  it('comes when all is written, and nothing is written after it', async () => {
    writeAll(numbered(50));
    await queue.close(1000);
    expect(sink.lines).toEqual(numbered(50));
    expect(sink.closes).toBe(1);
    writeAll(['late']);
    await queue.settled();
    expect(sink.lines).toHaveLength(50);
  });

  it('does not wait longer than it may for a disk that is stalled, and closes nothing under a write', async () => {
    sink.isStalled = true;
    writeAll(['one']);
    const begun = performance.now();
    await queue.close(50);
    expect(performance.now() - begun).toBeLessThan(1000);
    expect(sink.closes).toBe(0);
    sink.thaw();
    await queue.settled();
    await new Promise((resolve) => setImmediate(resolve));
    expect(sink.closes).toBe(1);
  });

  it('throws nothing when the sink cannot be closed', async () => {
    jest.spyOn(sink, 'close').mockRejectedValue(new Error('EIO'));
    await expect(queue.close(50)).resolves.toBeUndefined();
  });
});
