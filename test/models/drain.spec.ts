import { pass, settled } from '../fakes/timers.js';
import { AT_WORK, stop, useServingHouse } from './drain-rig.js';
import { house } from './house-rig.js';

useServingHouse();

describe('a drain', () => {
  it('lets the model serve on while requests wait, and stops it when they are done', async () => {
    house.runner.work = AT_WORK;
    const stopping = stop({ drainSeconds: 30 });
    await pass(20_000);
    expect(stopping.answer).toBeUndefined();
    expect(house.runner.calls).toEqual([]);
    expect(house.placement('A', 0)).toEqual({
      status: 'RUNNING',
      progress: 'waiting until requests are worked off: 3 counted',
    });
    expect(house.store.wanted()).toEqual({ A: ['0 release'] });
    house.runner.work = { open: 0, finished: 10 };
    await pass(1500);
    expect(house.runner.calls).toEqual(['stop A [0]']);
    expect(stopping.answer).toBe('STOPPED');
    expect(house.status()).toEqual([]);
  });

  it('waits while requests are being finished, also where none waits', async () => {
    const done = { open: 0, finished: 0 };
    house.runner.work = done;
    stop({ drainSeconds: 30 });
    for (let second = 0; second < 20; second += 1) {
      await pass(500);
      house.runner.work = { open: 0, finished: second + 1 };
    }
    expect(house.runner.calls).toEqual([]);
    await pass(2000);
    expect(house.runner.calls).toEqual(['stop A [0]']);
  });

  it('ends at its deadline, and the runner has no patience left', async () => {
    house.runner.work = AT_WORK;
    const stopping = stop({ drainSeconds: 5 });
    await pass(4900);
    expect(house.runner.calls).toEqual([]);
    await pass(100);
    expect(house.runner.calls).toEqual(['stop A [0]']);
    expect(house.runner.patience).toEqual([0]);
    expect(stopping.answer).toBe('STOPPED');
  });

  it('leaves the runner what is left of it', async () => {
    house.runner.work = { open: 0, finished: 1 };
    stop({ drainSeconds: 60 });
    await pass(2000);
    expect(house.runner.patience).toEqual([expect.any(Number)]);
    expect(house.runner.patience[0]).toBeGreaterThan(57_000);
    expect(house.runner.patience[0]).toBeLessThan(60_000);
  });

  it('has its answer wait as long as it may take, and the stop after it', async () => {
    house.runner.work = AT_WORK;
    house.runner.hold('stop');
    const stopping = stop({ drainSeconds: 300 });
    await pass(300_000);
    await house.runner.nextCall('stop');
    await pass(house.runner.stopTimeoutMs - 100);
    expect(stopping.answer).toBeUndefined();
    await pass(200);
    expect(stopping.answer).toBe('STOP_TIMEOUT');
  });

  it.each([
    ['0 in the request', () => stop({ drainSeconds: 0 })],
    ['nothing in request and configuration', () => stop()],
  ])('does not take place with %s', async (_, begin) => {
    house.runner.work = AT_WORK;
    begin();
    await settled();
    expect(house.runner.calls).toEqual(['stop A [0]']);
    expect(house.runner.workloadCalls).toBe(0);
  });

  it('takes its time from the configuration where the request says nothing', async () => {
    house.runner.drain = 10;
    house.runner.work = AT_WORK;
    stop();
    await pass(9900);
    expect(house.runner.calls).toEqual([]);
    await pass(100);
    expect(house.runner.calls).toEqual(['stop A [0]']);
  });

  it('does not take place for what does not serve', async () => {
    house.runner.hold('start');
    await house.supervisor.start('A', 1, {});
    await house.runner.nextCall('start');
    house.runner.letGo('start');
    house.runner.work = AT_WORK;
    stop({ drainSeconds: 30 }, 1);
    await settled();
    expect(house.runner.calls).toContain('stop A [1] keep [0]');
  });
});

describe('a backend that does not say what it works on', () => {
  it('is stopped at once where it cannot tell', async () => {
    house.runner.work = null;
    stop({ drainSeconds: 30 });
    await settled();
    expect(house.runner.calls).toEqual(['stop A [0]']);
  });

  it('is asked three times where it fails', async () => {
    house.runner.work = new Error('connection refused');
    stop({ drainSeconds: 30 });
    await pass(400);
    expect(house.runner.calls).toEqual([]);
    await pass(200);
    expect(house.runner.calls).toEqual(['stop A [0]']);
    expect(house.runner.workloadCalls).toBe(3);
  });

  it('is drained on where it answers again', async () => {
    house.runner.work = new Error('too busy');
    stop({ drainSeconds: 30 });
    await pass(300);
    house.runner.work = AT_WORK;
    await pass(20_000);
    expect(house.runner.calls).toEqual([]);
  });

  it('does not hold up a stop longer than its deadlines', async () => {
    house.runner.work = 'hangs';
    stop({ drainSeconds: 600 });
    await pass(3 * house.config.health.probe_timeout_ms + 1000);
    expect(house.runner.calls).toEqual(['stop A [0]']);
  });

  it('does not hold up a stop longer than its drain', async () => {
    house.runner.work = 'hangs';
    stop({ drainSeconds: 1 });
    await pass(1001);
    expect(house.runner.calls).toEqual(['stop A [0]']);
  });
});
