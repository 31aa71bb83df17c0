import { jest } from '@jest/globals';
import { toInstanceInfo } from '../../src/models/api/views.js';
import { House } from '../fakes/house.js';
import { pass, settled, useFakeTime } from '../fakes/timers.js';

let house: House;

beforeEach(async () => {
  useFakeTime();
  house = await House.withMemory().boot();
  house.runner.measures = true; // a server for each GPU
  await house.running('A', 0, 1);
});
afterEach(() => {
  expect(house.defects()).toEqual([]);
  jest.useRealTimers();
});

/** GPU 0 in what the API answers to a start on GPU 1, which runs. */
const shown = async () => toInstanceInfo(await house.supervisor.start('A', 1, {})).placements[0];

describe('a placement that is being stopped', () => {
  it('has a pid and a port until its server is gone, and is stopping until its memory is proven to be back', async () => {
    const pid = house.runner.pidOn(0);
    house.gpus.processes.set(0, [{ pid, name: 'server', memoryMiB: 8192 }]);
    house.runner.hold('stop');
    const stopping = house.supervisor.stop('A', 0);
    const call = await house.runner.nextCall('stop');
    const placement = {
      gpu_id: 0,
      status: 'RUNNING',
      progress: 'stopping',
      gpu_uuid: 'GPU-0',
      options: { instances: 2 },
      since: '2024-01-01T00:00:00.000Z',
      restarts: 0,
    };
    expect(await shown()).toEqual({ ...placement, pid, port: 8000 });
    call.succeed();
    await settled();
    for (let second = 0; second < 5; second += 1) {
      expect(await shown()).toEqual({ ...placement, pid: null, port: null });
      await pass(1000);
      await house.probe();
    }
    house.gpus.processes.delete(0);
    await pass(200);
    expect((await stopping).placement).toMatchObject({ status: 'STOPPED', progress: undefined });
    expect(house.status()).toEqual(['A 1 RUNNING']);
  });
});
