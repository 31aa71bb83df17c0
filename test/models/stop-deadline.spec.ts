import { jest } from '@jest/globals';
import { House } from '../fakes/house.js';
import { pass, settled, useFakeTime } from '../fakes/timers.js';

beforeEach(useFakeTime);
afterEach(() => {
  jest.useRealTimers();
});

describe('the deadline of the answer to a stop', () => {
  it('holds where the work of the stop begins late, and the stop goes on', async () => {
    const house = await House.withMemory().boot();
    await house.running('A', 0);
    const { runner } = house;
    const held = [{ pid: runner.pidOn(0), name: 'tritonserver', memoryMiB: 8192 }];
    house.gpus.processes.set(0, held);
    // A start that does not heed its signal keeps the worker until its grace is over.
    runner.ignoresSignals = true;
    runner.hold('start');
    runner.hold('stop');
    await house.supervisor.start('A', 1, {});
    await runner.nextCall('start');
    let answer: unknown;
    house.supervisor.stop('A', 0).catch((error: unknown) => (answer = error));
    await pass(5000);
    const release = await runner.nextCall('stop');
    await pass(runner.stopTimeoutMs - 500);
    release.succeed();
    await settled();
    // Its memory has 10 s from here; the answer has had 32 s in all, of which 24.5 have passed.
    await pass(7400);
    expect(answer).toBeUndefined();
    await pass(200);
    expect(answer).toMatchObject({
      code: 'STOP_TIMEOUT',
      message: 'A on GPU 0 was not stopped within 32 s; the stop goes on. Its status tells when it is done.',
    });
    expect(house.placement('A', 0)?.status).toBe('RUNNING');
    await pass(3000);
    expect(house.placement('A', 0)).toMatchObject({
      status: 'ERROR',
      error: expect.stringContaining('GPU_MEMORY_HELD') as unknown,
    });
  });
});
