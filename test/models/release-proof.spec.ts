import { jest } from '@jest/globals';
import { toInstanceInfo } from '../../src/models/api/views.js';
import { GpuReadError } from '../../src/gpus/gpu-provider.js';
import { House } from '../fakes/house.js';
import { pass, settled, useFakeTime } from '../fakes/timers.js';

/** Beyond `pid_max`: no process of the test's host can be taken for one of these. */
const OTHER_PID = 5_000_001;

let house: House;

beforeEach(async () => {
  useFakeTime();
  house = await House.withMemory().boot();
  await house.running('A', 0);
});
afterEach(() => {
  expect(house.defects()).toEqual([]);
  jest.useRealTimers();
});

const holds = (pid: number, memoryMiB: number | null) => ({ pid, name: 'tritonserver', memoryMiB });
const serverPid = () => house.runner.pidOn(0);
const stop = async () => toInstanceInfo(await house.supervisor.stop('A', 0));

describe('a stop whose server has ended', () => {
  it('says how many bytes came back', async () => {
    house.gpus.processes.set(0, [holds(serverPid(), 8192), holds(OTHER_PID, 100)]);
    house.runner.hold('stop');
    const stopping = stop();
    const call = await house.runner.nextCall('stop');
    house.gpus.processes.set(0, [holds(OTHER_PID, 100)]);
    call.succeed();
    expect(await stopping).toMatchObject({
      status: 'STOPPED',
      gpu_memory: { released_mb: 8192, held_mb: 0 },
    });
  });

  it('waits until the driver has released its memory', async () => {
    house.gpus.processes.set(0, [holds(serverPid(), 8192)]);
    const stopping = stop();
    let answered = false;
    void stopping.then(() => (answered = true));
    await pass(9000);
    expect(answered).toBe(false);
    expect(house.status()).toEqual(['A 0 RUNNING']);
    house.gpus.processes.delete(0);
    await pass(200);
    expect(await stopping).toMatchObject({ status: 'STOPPED' });
  });

  it('fails with pid and MiB at the deadline, and is done when the memory is back', async () => {
    house.gpus.processes.set(0, [holds(serverPid(), 8192), holds(OTHER_PID, 100)]);
    const failed = expect(stop()).rejects.toMatchObject({
      code: 'GPU_MEMORY_HELD',
      kind: 'internal',
      message: expect.stringMatching(
        new RegExp(`GPU 0: process ${serverPid()} \\(8192 MiB\\)\\. `),
      ) as unknown,
    });
    await pass(10_000);
    await failed;
    expect(house.placement('A', 0)).toMatchObject({
      status: 'ERROR',
      error: expect.stringContaining('GPU_MEMORY_HELD') as unknown,
    });
    // Its server is gone and has no pid any more: who held the memory must still be known.
    const again = expect(stop()).rejects.toMatchObject({ code: 'GPU_MEMORY_HELD' });
    await pass(10_000);
    await again;
    house.gpus.processes.set(0, [holds(OTHER_PID, 100)]);
    await pass(20_000);
    expect(house.status()).toEqual([]);
    expect(house.store.wanted()).toEqual({});
  });

  it('names a process whose memory the driver does not tell', async () => {
    house.gpus.processes.set(0, [holds(serverPid(), null)]);
    const failed = expect(stop()).rejects.toThrow(`process ${serverPid()} (unknown MiB)`);
    await pass(10_000);
    await failed;
  });
});

describe('a stop out of a server that goes on', () => {
  it('waits for nothing, and says what came back and what did not', async () => {
    house.runner.serverStays = true;
    house.gpus.processes.set(0, [holds(serverPid(), 8192)]);
    house.runner.hold('stop');
    const stopping = stop();
    const call = await house.runner.nextCall('stop');
    house.gpus.processes.set(0, [holds(serverPid(), 2048)]);
    call.succeed();
    expect(await stopping).toMatchObject({
      status: 'STOPPED',
      gpu_memory: { released_mb: 6144, held_mb: 2048 },
    });
  });
});

describe('where the GPUs cannot be read', () => {
  it('a stop succeeds, and its memory is unknown', async () => {
    house.gpus.error = new GpuReadError('no driver');
    expect(await stop()).toMatchObject({ status: 'STOPPED', gpu_memory: null });
  });

  it('from the stop on, it succeeds at the deadline, and its memory is unknown', async () => {
    house.gpus.processes.set(0, [holds(serverPid(), 8192)]);
    house.runner.hold('stop');
    const stopping = stop();
    const call = await house.runner.nextCall('stop');
    house.gpus.error = new GpuReadError('the driver has gone');
    call.succeed();
    await pass(10_100);
    expect(await stopping).toMatchObject({ status: 'STOPPED', gpu_memory: null });
  });
});

it('the end of the service does not wait for memory, and the next run releases again', async () => {
  house.gpus.processes.set(0, [holds(serverPid(), 8192)]);
  const answer = expect(stop()).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
  await settled();
  await house.supervisor.beforeApplicationShutdown();
  await answer;
  expect(house.store.wanted()).toEqual({ A: ['0 release'] });
});

it('a placement whose backend has let go is no occupant of the GPU while its memory is looked after', async () => {
  expect(house.gpuOccupants.list()).toHaveLength(1);
  house.gpus.processes.set(0, [holds(serverPid(), 8192)]);
  const stopping = stop();
  await pass(500);
  expect(house.gpuOccupants.list()).toEqual([]);
  house.gpus.processes.delete(0);
  await pass(200);
  await stopping;
});
