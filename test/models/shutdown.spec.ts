import { jest } from '@jest/globals';
import { House } from '../fakes/house.js';
import { pass, settled, useFakeTime } from '../fakes/timers.js';

let house: House;

beforeEach(async () => {
  useFakeTime();
  house = await House.withMemory().boot();
});
afterEach(() => {
  expect(house.defects()).toEqual([]);
  jest.useRealTimers();
});

const close = () => house.supervisor.beforeApplicationShutdown();

describe('the end of the service', () => {
  it('leaves servers and what is wanted alone', async () => {
    await house.running('A', 0);
    await close();
    await pass(100_000);
    house.runner.crash('A');
    await house.probe();
    expect(house.runner.calls).toEqual([]);
    expect(house.store.wanted()).toEqual({ A: ['0 serve'] });
    expect(house.runner.listenerCount).toBe(0);
  });

  it('interrupts a start, which the next run takes up', async () => {
    house.runner.hold('start');
    await house.supervisor.start('A', 0, {});
    const call = await house.runner.nextCall('start');
    await close();
    expect(call.context.signal.aborted).toBe(true);
    expect(house.store.wanted()).toEqual({ A: ['0 serve'] });
    const next = await House.withMemory({ state: [...house.store.saved.values()] }).boot();
    expect(next.status()).toEqual(['A 0 RUNNING']);
  });

  it('interrupts a stop, tells who waits for it, and the next run completes it', async () => {
    await house.running('A', 0);
    house.runner.hold('stop');
    const stopping = house.supervisor.stop('A', 0);
    const answer = expect(stopping).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    await house.runner.nextCall('stop');
    await close();
    await answer;
    expect(house.store.wanted()).toEqual({ A: ['0 release'] });
    expect(house.status()).toEqual(['A 0 RUNNING']); // not an ERROR: nothing failed
    const next = await House.withMemory({ state: [...house.store.saved.values()] }).boot();
    expect(next.runner.calls).toEqual(['stop A [0]']);
    expect(next.store.wanted()).toEqual({});
  });

  it('waits neither for a probe nor for a try that is to come', async () => {
    await house.running('A', 0);
    house.runner.statusHangs = true;
    await house.probe();
    const closing = close();
    await pass(1);
    await expect(closing).resolves.toBeUndefined();
  });

  it('does not wait for a runner that does not heed its signal', async () => {
    house.runner.ignoresSignals = true;
    house.runner.hold('start');
    await house.supervisor.start('A', 0, {});
    await house.runner.nextCall('start');
    const closing = close();
    await pass(5000);
    await expect(closing).resolves.toBeUndefined();
  });

  it('takes no more commands, those in the queue included', async () => {
    await house.running('A', 0);
    let goOn: (() => void) | undefined;
    const putAll = house.store.putAll.bind(house.store);
    jest.spyOn(house.store, 'putAll').mockImplementationOnce(async (changes) => {
      await new Promise<void>((resolve) => (goOn = resolve));
      await putAll(changes);
    });
    const first = house.supervisor.start('A', 1, {});
    await settled();
    const queued = [house.supervisor.start('A', 2, {}), house.supervisor.stop('A', 0)].map((command) =>
      command.catch((error: unknown) => error),
    );
    await settled();
    const closing = close();
    goOn?.();
    await closing;
    await first;
    expect(await Promise.all(queued)).toEqual([
      expect.objectContaining({ code: 'SHUTTING_DOWN' }),
      expect.objectContaining({ code: 'SHUTTING_DOWN' }),
    ]);
    await expect(house.supervisor.start('B', 0, {})).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    await expect(house.supervisor.stop('A', 0)).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    // What was accepted on the way out is on disk, for the next run.
    expect(house.store.wanted()).toEqual({ A: ['0 serve', '1 serve'] });
  });

  it('refuses a start whose checks are still under way', async () => {
    let goOn: (() => void) | undefined;
    jest
      .spyOn(house.runner, 'preflight')
      .mockImplementationOnce(() => new Promise((resolve) => (goOn = resolve)));
    const start = house.supervisor.start('A', 1, {}).catch((error: unknown) => error);
    await settled();
    await close();
    goOn?.();
    expect(await start).toMatchObject({ code: 'SHUTTING_DOWN' });
    expect(house.store.wanted()).toEqual({});
  });
});
