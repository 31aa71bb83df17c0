import { StopFailedError } from '../../src/launchers/launcher.js';
import { pass, settled } from '../fakes/timers.js';
import { house } from './house-rig.js';
import { start, stop, useTwoBackends } from './supervisor-rig.js';

useTwoBackends();

describe('the occupants of the GPUs', () => {
  it('are the placements that run or start', async () => {
    await house.running('A', 0);
    await house.supervisor.start('C', 1, {});
    await settled();
    await house.probe();
    expect(house.gpuOccupants.list()).toEqual([
      { modelName: 'A', gpuId: 0, placement: 'A@0', pid: 5_000_100, serverName: 'server-A', instances: 2 },
      { modelName: 'C', gpuId: 1, placement: 'C@1', pid: 5_000_101, serverName: 'server-C', instances: 2 },
    ]);
    await stop('A', 0);
    expect(house.gpuOccupants.list().map((occupant) => occupant.modelName)).toEqual(['C']);
  });
});

describe('the supervisor', () => {
  it('is busy while something starts or stops', async () => {
    expect(house.supervisor.isBusy).toBe(false);
    house.runner.hold('start');
    await start('A', 0);
    expect(house.supervisor.isBusy).toBe(true);
    (await house.runner.nextCall('start')).succeed();
    await settled();
    expect(house.supervisor.isBusy).toBe(false);
    house.runner.failNext('stop', new StopFailedError('stuck'));
    await expect(stop('A', 0)).rejects.toThrow('stuck');
    expect(house.supervisor.isBusy).toBe(true);
    await pass(1000);
    expect(house.supervisor.isBusy).toBe(false);
  });

  it('asks only the backend in which something happened', async () => {
    await house.running('A', 0);
    await house.supervisor.start('C', 1, {});
    await settled();
    const before = house.runner.statusCalls;
    house.runner.notify();
    await settled();
    expect(house.runner.statusCalls).toBe(before + 1);
  });
});
