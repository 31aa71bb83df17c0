import { Arrivals } from '../../../src/models/supervisor/arrivals.js';
import { settled } from '../../fakes/timers.js';

/** A piece of work that a test ends. */
function work(): { run: () => Promise<string>; end: () => void; fail: () => void } {
  let settle: { resolve: (value: string) => void; reject: (error: Error) => void } | undefined;
  const done = new Promise<string>((resolve, reject) => {
    settle = { resolve, reject };
  });
  return {
    run: () => done,
    end: () => settle?.resolve('its result'),
    fail: () => settle?.reject(new Error('its error')),
  };
}

let arrivals: Arrivals;
let events: string[];

beforeEach(() => {
  arrivals = new Arrivals();
  events = [];
});

const follow = (modelName: string, gpuId: number): void =>
  void arrivals.before(modelName, gpuId).then(() => events.push(`${modelName} ${gpuId}`));

describe('the order of commands', () => {
  it('has a command wait for all starts on its GPU that came before, whether they succeed or fail', async () => {
    const [first, second] = [work(), work()];
    const results = Promise.allSettled([
      arrivals.during({ modelName: 'A', gpuIds: [0, 1] }, first.run),
      arrivals.during({ modelName: 'A', gpuIds: [1] }, second.run),
    ]);
    follow('A', 1);
    first.end();
    await settled();
    expect(events).toEqual([]);
    second.fail();
    await settled();
    expect(events).toEqual(['A 1']);
    await expect(results).resolves.toEqual([
      { status: 'fulfilled', value: 'its result' },
      { status: 'rejected', reason: new Error('its error') },
    ]);
  });

  it('has none wait for another model, another GPU, or a start that came later', async () => {
    const earlier = work();
    void arrivals.during({ modelName: 'A', gpuIds: [0] }, earlier.run);
    follow('B', 0);
    follow('A', 1);
    follow('A', 2);
    void arrivals.during({ modelName: 'A', gpuIds: [2] }, work().run);
    await settled();
    expect(events).toEqual(['B 0', 'A 1', 'A 2']);
    earlier.end();
  });

  it('begins starts at once, side by side', () => {
    for (const name of ['first', 'second']) {
      void arrivals.during({ modelName: 'A', gpuIds: [0] }, () => {
        events.push(name);
        return work().run();
      });
    }
    expect(events).toEqual(['first', 'second']);
  });

  it('forgets a start that is over', async () => {
    const over = work();
    const done = arrivals.during({ modelName: 'A', gpuIds: [0] }, over.run);
    over.end();
    await done;
    follow('A', 0);
    await settled();
    expect(events).toEqual(['A 0']);
  });
});
