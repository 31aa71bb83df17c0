import { House } from '../fakes/house.js';
import { pass, settled } from '../fakes/timers.js';
import { AT_WORK, stop, useServingHouse } from './drain-rig.js';
import { house } from './house-rig.js';

useServingHouse();

describe('a drain and other commands', () => {
  beforeEach(() => {
    house.runner.work = AT_WORK;
  });

  it('counts in what is wanted of the backend when another model is stopped', async () => {
    await house.running('B', 1);
    house.runner.work = AT_WORK;
    stop({ drainSeconds: 30 });
    await settled();
    house.runner.hold('stop');
    stop({}, 1, 'B');
    const call = await house.runner.nextCall('stop');
    expect(call.context.wanted()).toEqual([expect.objectContaining({ modelName: 'A', gpuIds: [0] })]);
    call.succeed();
    await pass(30_000);
    const own = await house.runner.nextCall('stop');
    expect(own.context.wanted()).toEqual([]);
    own.succeed();
    await settled();
  });

  it('is shortened by a further stop, and not lengthened', async () => {
    const first = stop({ drainSeconds: 20 });
    await pass(1000);
    stop({ drainSeconds: 600 });
    stop();
    await pass(1000);
    const last = stop({ drainSeconds: 5 });
    await pass(4900);
    expect(house.runner.calls).toEqual([]);
    await pass(100);
    expect(house.runner.calls).toEqual(['stop A [0]']);
    expect([first.answer, last.answer]).toEqual(['STOPPED', 'STOPPED']);
  });

  it('is ended by a further stop with 0', async () => {
    stop({ drainSeconds: 600 });
    await pass(1000);
    stop({ drainSeconds: 0 });
    await settled();
    expect(house.runner.calls).toEqual(['stop A [0]']);
  });

  it('does not hold up a start on the same GPU beyond its end', async () => {
    const stopping = stop({ drainSeconds: 10 });
    await pass(1000);
    await house.supervisor.start('A', 0, {});
    await pass(5000);
    expect(house.runner.calls).toEqual([]);
    expect(house.status()).toEqual(['A 0 STARTING']);
    await pass(4000);
    expect(house.runner.calls).toEqual(['stop A [0]', 'start A [0]']);
    expect(stopping.answer).toBe('STOPPED');
    expect(house.status()).toEqual(['A 0 RUNNING']);
  });

  it('does not hold up a start or a stop of the model on another GPU', async () => {
    stop({ drainSeconds: 600 });
    await settled();
    await house.supervisor.start('A', 1, {});
    await settled();
    expect(house.runner.calls).toEqual(['start A [0,1]']);
    stop({ drainSeconds: 0 }, 1);
    await settled();
    expect(house.runner.calls).toEqual(['start A [0,1]', 'stop A [1] keep [0]']);
    expect(house.runner.servedOn('A')).toEqual([0]);
  });

  it('has a deadline for each GPU', async () => {
    await house.running('A', 1);
    stop({ drainSeconds: 10 }, 0);
    stop({ drainSeconds: 20 }, 1);
    await pass(10_000);
    expect(house.runner.calls).toEqual(['stop A [0] keep [1]']);
    await pass(10_000);
    expect(house.runner.calls).toEqual(['stop A [0] keep [1]', 'stop A [1]']);
  });

  it('does not bring back a placement that drains', async () => {
    stop({ drainSeconds: 30 });
    await pass(1000);
    house.runner.work = null;
    house.runner.crash('A');
    await pass(1000);
    expect(house.runner.calls).toEqual(['stop A [0]']);
  });

  it('ends with the service, and the next run completes the stop without it', async () => {
    const stopping = stop({ drainSeconds: 600 });
    await pass(1000);
    await house.supervisor.beforeApplicationShutdown();
    await settled();
    expect(stopping.answer).toBe('SHUTTING_DOWN');
    expect(house.runner.calls).toEqual([]);
    const looks = house.runner.workloadCalls;
    await pass(10_000);
    expect(house.runner.workloadCalls).toBe(looks);
    const next = await House.withMemory({ state: [...house.store.saved.values()] }).boot();
    expect(next.runner.calls).toEqual(['stop A [0]']);
  });
});
