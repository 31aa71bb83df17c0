import { jest } from '@jest/globals';
import { pass, settled } from '../fakes/timers.js';
import { house, outcome, start, stop, useHouse } from './house-rig.js';

useHouse();

describe('what the backend says', () => {
  it('nothing, for a while: nothing is concluded', async () => {
    await house.running('A', 0);
    house.runner.phase = 'silent';
    await house.probe();
    house.runner.statusError = new Error('broken');
    await house.probe();
    expect(house.status()).toEqual(['A 0 RUNNING']);
    expect(house.history()).toEqual([]);
    expect(house.runner.calls).toEqual([]);
  });

  it('that it starts the model anew: STARTING, with all the time a start has, and nothing is done to it', async () => {
    await house.running('A', 0);
    await pass(10 * house.runner.startTimeoutMs);
    house.runner.phase = 'starting';
    await house.probe();
    expect(house.status()).toEqual(['A 0 STARTING']);
    house.runner.phase = 'ready';
    await house.probe();
    expect(house.status()).toEqual(['A 0 RUNNING']);
    expect(house.runner.calls).toEqual([]);
  });

  it('late, after a command: it is about a world that is gone', async () => {
    await house.running('A', 0);
    const late = house.runner.getStatus.bind(house.runner);
    let answer: (() => void) | undefined;
    jest.spyOn(house.runner, 'getStatus').mockImplementationOnce(async (deployment) => {
      const seen = await late(deployment);
      await new Promise<void>((resolve) => (answer = resolve));
      return seen.map((observation) => ({ ...observation, phase: 'absent' as const }));
    });
    await house.probe();
    await start(1);
    answer?.();
    await settled();
    expect(house.history()).toEqual(['1 STOPPED→STARTING', '1 STARTING→RUNNING']);
  });

  it('never: the next command is carried out all the same', async () => {
    await house.running('A', 0);
    house.runner.statusHangs = true;
    await house.probe();
    const stopped = outcome(stop(0));
    await pass(house.config.health.probe_timeout_ms + 251);
    expect(await stopped).toBe('done');
  });

  it('never, while a start is under way: one probe hangs, not one per tick', async () => {
    house.runner.hold('start');
    await start(0);
    await settled();
    house.runner.statusHangs = true;
    const before = house.runner.statusCalls;
    for (let tick = 0; tick < 20; tick += 1) await house.probe();
    expect(house.runner.statusCalls - before).toBe(1);
    await pass(house.config.health.probe_timeout_ms + 251);
    await house.probe();
    expect(house.runner.statusCalls - before).toBe(2);
    house.runner.statusHangs = false;
  });

  it('of a GPU twice, or of one nobody asked about: once is enough', async () => {
    await house.running('A', 0);
    jest.spyOn(house.runner, 'getStatus').mockImplementationOnce(() =>
      Promise.resolve(
        [0, 0, 3].map((gpuId) => ({
          gpuId,
          phase: 'absent' as const,
          pid: null,
          port: null,
          serverName: null,
        })),
      ),
    );
    await house.probe();
    expect(house.history()).toEqual(['0 RUNNING→STARTING', '0 STARTING→RUNNING']);
  });
});
