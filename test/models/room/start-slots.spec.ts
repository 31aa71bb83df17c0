import { jest } from '@jest/globals';
import fc from 'fast-check';
import { StartSlots, type StartSlot } from '../../../src/models/worker/start-slots.js';
import { FakeRunner } from '../../fakes/fake-runner.js';
import { House } from '../../fakes/house.js';
import { desired } from '../../fakes/memory-store.js';
import { pass, settled, useFakeTime } from '../../fakes/timers.js';

const never = (): AbortSignal => new AbortController().signal;
const silent = (): void => undefined;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the slots of starts', () => {
  it('are taken one after another on a GPU, side by side on two', async () => {
    const slots = new StartSlots();
    const words: string[] = [];
    const first = await slots.take({ modelName: 'A', gpuIds: [0] }, never(), silent);
    const other = await slots.take({ modelName: 'B', gpuIds: [1] }, never(), silent);
    let second: StartSlot | undefined;
    void slots
      .take({ modelName: 'C', gpuIds: [0] }, never(), (text) => words.push(text))
      .then((slot) => (second = slot));
    await turn();
    expect(second).toBeUndefined();
    expect(words).toEqual(['waiting: A is starting on GPU 0']);
    other.release();
    await turn();
    expect(second).toBeUndefined();
    first.release();
    first.release();
    await turn();
    expect(second).toBeDefined();
  });

  it('go to who wants several GPUs when it is its turn, whatever comes later for one of them', async () => {
    const slots = new StartSlots();
    const order: string[] = [];
    const held = await slots.take({ modelName: 'A', gpuIds: [0] }, never(), silent);
    const take = (modelName: string, gpuIds: number[]): Promise<StartSlot> =>
      slots.take({ modelName, gpuIds }, never(), silent).then((slot) => {
        order.push(modelName);
        return slot;
      });
    const wide = take('wide', [0, 1]);
    const narrow = take('narrow', [1]);
    await turn();
    expect(order).toEqual([]);
    held.release();
    (await wide).release();
    await narrow;
    expect(order).toEqual(['wide', 'narrow']);
  });

  it('are left by who no longer wants one; those behind move up', async () => {
    const slots = new StartSlots();
    await slots.take({ modelName: 'A', gpuIds: [0] }, never(), silent);
    const gone = new AbortController();
    const given = slots.take({ modelName: 'B', gpuIds: [0, 1] }, gone.signal, silent);
    const behind = slots.take({ modelName: 'C', gpuIds: [1] }, never(), silent);
    gone.abort(new Error('stopped'));
    await expect(given).rejects.toThrow('stopped');
    await expect(behind).resolves.toBeDefined();
    await expect(slots.take({ modelName: 'D', gpuIds: [2] }, gone.signal, silent)).rejects.toThrow('stopped');
  });

  it('never overlap, and everybody gets one in the end', async () => {
    const wish = fc.uniqueArray(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(fc.array(wish, { maxLength: 20 }), async (wishes) => {
        const slots = new StartSlots();
        const busy = new Set<number>();
        let served = 0;
        await Promise.all(
          wishes.map(async (gpuIds, index) => {
            const slot = await slots.take({ modelName: `M${index}`, gpuIds }, never(), silent);
            for (const gpuId of gpuIds) {
              expect(busy.has(gpuId)).toBe(false);
              busy.add(gpuId);
            }
            await turn();
            for (const gpuId of gpuIds) busy.delete(gpuId);
            served += 1;
            slot.release();
          }),
        );
        expect(served).toBe(wishes.length);
      }),
      { numRuns: 30 },
    );
  });
});

describe('a backend that measures free memory at its start', () => {
  let house: House;
  let runner: FakeRunner;

  beforeEach(async () => {
    useFakeTime();
    runner = new FakeRunner();
    runner.measures = true;
    house = await House.withMemory({ runner }).boot();
    runner.hold('start');
  });
  afterEach(() => {
    expect(house.defects()).toEqual([]);
    jest.useRealTimers();
  });

  const starts = (): string[] => runner.calls.filter((call) => call.startsWith('start'));

  it('starts one model after another on a GPU; who waits says for whom, and its deadline does not run', async () => {
    await house.supervisor.start('A', 0, {});
    await settled();
    await house.supervisor.start('B', 0, {});
    await settled();
    expect(starts()).toEqual(['start A [0]']);
    expect(house.placement('B', 0)).toEqual({
      status: 'STARTING',
      progress: 'waiting: A is starting on GPU 0',
    });
    await pass(99_000);
    (await runner.nextCall('start')).succeed();
    await settled();
    expect(starts()).toEqual(['start A [0]', 'start B [0]']);
    await pass(50_000); // 149 s since B was accepted, of 100 s that a start may take
    expect(house.placement('B', 0)?.status).toBe('STARTING');
    (await runner.nextCall('start')).succeed();
    await settled();
    expect(house.status()).toEqual(['A 0 RUNNING', 'B 0 RUNNING']);
  });

  it('starts side by side on two GPUs, and where it measures nothing', async () => {
    await house.supervisor.start('A', 0, {});
    await house.supervisor.start('B', 1, {});
    await settled();
    expect(starts()).toEqual(['start A [0]', 'start B [1]']);
  });

  it('is stopped at once while it waits, and holds up nobody', async () => {
    await house.supervisor.start('A', 0, {});
    await settled();
    await house.supervisor.start('B', 0, {});
    await settled();
    const stopped = house.supervisor.stop('B', 0);
    await settled();
    expect((await stopped).placement?.status).toBe('STOPPED');
    (await runner.nextCall('start')).succeed();
    await settled();
    expect(house.status()).toEqual(['A 0 RUNNING']);
    expect(starts()).toEqual(['start A [0]']);
  });

  it('lets the next one start when it fails, or is stopped', async () => {
    await house.supervisor.start('A', 0, {});
    await settled();
    await house.supervisor.start('B', 0, {});
    await settled();
    (await runner.nextCall('start')).fail(new Error('out of memory'));
    await settled();
    expect(house.placement('A', 0)?.status).toBe('ERROR');
    expect(starts()).toEqual(['start A [0]', 'start B [0]']);
    const stopped = house.supervisor.stop('B', 0);
    await settled();
    await stopped;
    await house.supervisor.start('A', 0, {});
    await settled();
    expect(starts()).toEqual(['start A [0]', 'start B [0]', 'start A [0]']);
  });

  it('counts a server that an earlier run of the service has launched, until it is up', async () => {
    const next = new FakeRunner();
    next.measures = true;
    next.span = 2;
    next.phases.set(0, 'starting');
    const state = [
      desired('A', [{ gpu_id: 0, wanted: 'serve' }]),
      desired('B', [{ gpu_id: 1, wanted: 'serve' }]),
    ];
    const restarted = await House.withMemory({ runner: next, state }).boot();
    expect(next.calls).toEqual([]);
    expect(restarted.placement('B', 1)?.progress).toBe('waiting: A is starting on GPU 1');
    next.phases.delete(0);
    next.world.set('A', new Set([0]));
    await restarted.probe();
    expect(next.calls).toEqual(['start B [1]']);
    expect(restarted.defects()).toEqual([]);
  });

  it('starts nobody after a restart of the service before every other was looked at', async () => {
    const next = new FakeRunner(['A', 'B']);
    next.measures = true;
    next.statusHangs = true;
    const wanted = { gpu_id: 0, wanted: 'serve' as const };
    const state = [desired('A', [wanted]), desired('B', [wanted])];
    const restarted = await House.withMemory({ runner: next, state }).boot();
    next.statusHangs = false;
    next.hold('start');
    expect(next.calls).toEqual([]);
    await pass(10_000);
    await restarted.probe();
    expect(next.calls).toHaveLength(1);
  });

  it('does not hold up the end of the service while it waits', async () => {
    await house.supervisor.start('A', 0, {});
    await settled();
    await house.supervisor.start('B', 0, {});
    await settled();
    await house.supervisor.beforeApplicationShutdown();
    expect(house.store.wanted()).toEqual({ A: ['0 serve'], B: ['0 serve'] });
  });
});
