import { StopFailedError } from '../../src/launchers/launcher.js';
import { pass, settled } from '../fakes/timers.js';
import { house, outcome, start, stop, useHouse } from './house-rig.js';

useHouse();

describe('a start during a stop of the same placement', () => {
  beforeEach(async () => {
    await house.running('A', 0);
    house.runner.hold('stop');
  });

  it('begins when the stop is done', async () => {
    const stopped = outcome(stop(0));
    const call = await house.runner.nextCall('stop');
    await start(0);
    expect(house.status()).toEqual(['A 0 STARTING']);
    expect(house.store.wanted()).toEqual({ A: ['0 release', '0 serve'] });
    await house.probe();
    expect(house.status()).toEqual(['A 0 STARTING']); // what still serves is what is being stopped
    expect(call.context.wanted()).toEqual([]);
    call.succeed();
    expect(await stopped).toBe('done');
    await settled();
    expect(house.runner.calls).toEqual(['stop A [0]', 'start A [0]']);
    expect(house.status()).toEqual(['A 0 RUNNING']);
    expect(house.store.wanted()).toEqual({ A: ['0 serve'] });
  });

  it('fails with a stop that fails', async () => {
    const stopped = outcome(stop(0));
    const call = await house.runner.nextCall('stop');
    await start(0);
    call.fail(new StopFailedError('stuck'));
    await stopped;
    expect(house.placement('A', 0)).toEqual({ status: 'ERROR', error: 'STOP_FAILED: stuck' });
    expect(house.store.wanted()).toEqual({ A: ['0 failed', '0 release'] });
    house.runner.letGo('stop');
    await pass(1000);
    expect(house.store.wanted()).toEqual({ A: ['0 failed'] });
    await start(0);
    await settled();
    expect(house.status()).toEqual(['A 0 RUNNING']);
  });

  it('can be stopped again before it has begun', async () => {
    const first = outcome(stop(0));
    const call = await house.runner.nextCall('stop');
    await start(0);
    const second = outcome(stop(0));
    await settled();
    call.succeed();
    expect(await Promise.all([first, second])).toEqual(['done', 'done']);
    expect(house.runner.calls).toEqual(['stop A [0]']);
    expect(house.history()).toEqual(['0 STOPPED→STARTING', '0 STARTING→STOPPED', '0 RUNNING→STOPPED']);
    expect(house.store.wanted()).toEqual({});
  });
});
