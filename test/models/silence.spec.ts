import { jest } from '@jest/globals';
import { StopFailedError } from '../../src/launchers/launcher.js';
import { FakeRunner } from '../fakes/fake-runner.js';
import { House } from '../fakes/house.js';
import { desired } from '../fakes/memory-store.js';
import { pass, settled, useFakeTime } from '../fakes/timers.js';

let house: House;
let limitMs: number;

beforeEach(async () => {
  useFakeTime();
  house = await House.withMemory().boot();
  limitMs = house.config.liveness.deadline_seconds * 1000;
  await house.running('A', 0, 1);
});
afterEach(() => {
  jest.useRealTimers();
});

describe('a server that does not answer', () => {
  it('is ended at the deadline and started anew, with one start for all its GPUs', async () => {
    house.runner.frozen.add('A');
    await house.probe();
    await pass(limitMs - 1);
    await house.probe();
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
    expect(house.runner.calls).toEqual([]);
    await pass(1);
    expect(house.lines).toContainEqual(
      expect.objectContaining({ level: 40, event: 'recycle', model_name: 'A' }),
    );
    expect(house.runner.calls).toEqual(['recycle A', 'start A [0,1]']);
    expect(house.history()).toEqual([
      '0 RUNNING→STARTING',
      '1 RUNNING→STARTING',
      '0 STARTING→RUNNING',
      '1 STARTING→RUNNING',
    ]);
    expect(house.transitions[0]?.reason).toMatch(/^its server did not answer for 30 s/);
  });

  it('and answers again in time is left alone, and has the whole deadline the next time', async () => {
    for (let round = 0; round < 2; round += 1) {
      house.runner.frozen.add('A');
      await house.probe();
      await pass(limitMs - 1);
      house.runner.frozen.clear();
      await house.probe();
    }
    expect(house.history()).toEqual([]);
    expect(house.runner.calls).toEqual([]);
  });

  it('and answers at the last look is left alone: its models stay RUNNING', async () => {
    house.runner.phase = 'silent';
    await house.probe();
    await pass(limitMs);
    expect(house.runner.calls).toEqual(['recycle A']);
    house.runner.phase = undefined;
    await house.probe();
    expect(house.history()).toEqual([]);
  });

  it('and cannot be ended keeps its models, and is tried again after another deadline', async () => {
    house.runner.frozen.add('A');
    house.runner.recycleErrors.push(new StopFailedError('stuck in the driver'));
    await house.probe();
    await pass(limitMs);
    expect(house.runner.calls).toEqual(['recycle A']);
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
    await house.probe();
    await pass(limitMs);
    expect(house.runner.calls).toEqual(['recycle A', 'recycle A', 'start A [0,1]']);
  });

  it('again and again is started ever more rarely, and then never', async () => {
    const starts: number[] = [];
    const start = house.runner.start.bind(house.runner);
    jest.spyOn(house.runner, 'start').mockImplementation((deployment, context) => {
      starts.push(house.clock.monotonicMs());
      house.runner.frozen.add('A');
      return start(deployment, context);
    });
    house.runner.frozen.add('A');
    for (let second = 0; second < 300; second += 1) {
      await house.probe();
      await pass(1000);
    }
    expect(starts).toHaveLength(house.config.restart.max_attempts);
    const gaps = starts.slice(1).map((at, index) => at - (starts[index] ?? 0));
    expect(gaps).toEqual([...gaps].sort((a, b) => a - b));
    expect(house.placement('A', 0)?.error).toMatch(/^SERVER_LOST: .*liveness\.deadline_seconds/);
  });

  it('can be stopped all the same', async () => {
    house.runner.frozen.add('A');
    await house.probe();
    await Promise.all([house.supervisor.stop('A', 0), house.supervisor.stop('A', 1)]);
    expect(house.status()).toEqual([]);
    await pass(2 * limitMs);
    expect(house.runner.calls).not.toContain('recycle A');
  });
});

describe('where nobody can tell', () => {
  it('RUNNING ends at once, with the reason, and nothing is done', async () => {
    house.runner.phase = 'unknown';
    await house.probe();
    await house.probe();
    expect(house.placement('A', 0)).toEqual({
      status: 'STARTING',
      progress: 'waiting for an answer: none so far',
    });
    expect(house.transitions[0]?.reason).toMatch(/^nobody can tell whether the model serves/);
    await pass(10 * limitMs);
    await house.probe();
    expect(house.runner.calls).toEqual([]);
    house.runner.phase = undefined;
    await house.probe();
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
    expect(house.runner.calls).toEqual([]);
  });

  it('counts as no fault: what has died meanwhile is started at once', async () => {
    house.runner.phase = 'unknown';
    await house.probe();
    house.runner.phase = undefined;
    house.runner.world.clear();
    await house.probe();
    expect(house.runner.calls).toEqual(['start A [0,1]']);
  });

  it('a restart of the service says that it waits', async () => {
    const runner = new FakeRunner();
    runner.phase = 'unknown';
    const state = [desired('A', [{ gpu_id: 0, wanted: 'serve' }])];
    const next = await House.withMemory({ runner, state }).boot();
    await settled();
    expect(next.placement('A', 0)?.progress).toMatch(/^waiting for an answer/);
  });
});
