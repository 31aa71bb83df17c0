import { GpuTurnError, GpuTurns } from '../../../src/runners/vllm/gpu-turns.js';

/** Work that goes on until it is let go. */
function gate(): { work: () => Promise<void>; open: () => void; begun: () => boolean } {
  let open!: () => void;
  let hasBegun = false;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const work = (): Promise<void> => {
    hasBegun = true;
    return opened;
  };
  return { work, open, begun: () => hasBegun };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('turns on GPUs', () => {
  const words: string[] = [];
  const context = {
    signal: new AbortController().signal,
    onProgress: (text: string) => void words.push(text),
  };

  beforeEach(() => {
    words.length = 0;
  });

  it('are one after another where any GPU is shared, and side by side where none is', async () => {
    const turns = new GpuTurns();
    const [first, second, third] = [gate(), gate(), gate()];
    const running = turns.run([0, 1], 60_000, context, first.work);
    await settled();
    const done = [
      running,
      turns.run([2, 1], 60_000, context, second.work),
      turns.run([3], 60_000, context, third.work),
    ];
    await settled();
    expect([first.begun(), second.begun(), third.begun()]).toEqual([true, false, true]);
    first.open();
    await settled();
    expect(second.begun()).toBe(true);
    second.open();
    third.open();
    await Promise.all(done);
  });

  it('do not block each other, in whatever order the GPUs are named', async () => {
    const turns = new GpuTurns();
    const runs = Array.from({ length: 20 }, (_, index) =>
      turns.run(index % 2 ? [0, 1] : [1, 0], 60_000, context, settled),
    );
    await Promise.all(runs);
  });

  it('say who waits, pass over who gave up, and go on after a failure', async () => {
    const turns = new GpuTurns();
    const first = gate();
    const done = turns.run([0], 60_000, context, first.work);
    await settled();
    const gone = new AbortController();
    const second = gate();
    const givenUp = turns.run([0], 60_000, { ...context, signal: gone.signal }, second.work);
    const late = turns.run([0], 1, context, second.work);
    gone.abort(new Error('given up'));
    await expect(givenUp).rejects.toThrow('given up');
    await expect(late).rejects.toBeInstanceOf(GpuTurnError);
    expect(words).toContain('waiting for another start on GPU 0');
    expect(second.begun()).toBe(false);
    first.open();
    await done;
    await expect(turns.run([0], 60_000, context, () => Promise.reject(new Error('no')))).rejects.toThrow(
      'no',
    );
    expect(await turns.run([0], 60_000, context, () => Promise.resolve(7))).toBe(7);
  });
});
