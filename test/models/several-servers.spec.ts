import { jest } from '@jest/globals';
import { StopFailedError } from '../../src/launchers/launcher.js';
import { ModelLoadError } from '../../src/runners/errors.js';
import { FakeRunner } from '../fakes/fake-runner.js';
import { House } from '../fakes/house.js';
import { pass, settled, useFakeTime } from '../fakes/timers.js';

/** One server for each GPU of a model. */
let runner: FakeRunner;
let house: House;

beforeEach(async () => {
  useFakeTime();
  runner = new FakeRunner(['A', 'B', 'C']);
  runner.measures = true;
  house = await House.withMemory({ runner }).boot();
});
afterEach(() => {
  expect(house.defects()).toEqual([]);
  jest.useRealTimers();
});

/** A request on GPU 0 that the drain of A waits for. */
async function drainOnGpu0(): Promise<void> {
  await house.running('A', 0);
  runner.work = { open: 3, finished: 7 };
  house.supervisor.stop('A', 0, { drainSeconds: 60 }).catch(() => undefined);
  await pass(1000);
}

describe('a start beside servers of the same model', () => {
  it('leaves alone what drains, whatever its options', async () => {
    await drainOnGpu0();
    const preflight = jest.spyOn(runner, 'preflight');
    const start = jest.spyOn(runner, 'start');
    await house.supervisor.start('A', 1, { instances: 3 });
    await settled();
    expect(preflight.mock.calls.map(([deployment]) => deployment)).toMatchObject([{ gpuIds: [1] }]);
    expect(start.mock.calls.map(([deployment]) => deployment)).toMatchObject([
      { gpuIds: [1], options: { instances: 3 } },
    ]);
  });

  it('does not bring back what drained and died', async () => {
    await drainOnGpu0();
    runner.crash('A');
    await house.supervisor.start('A', 1, {});
    await settled();
    expect(runner.servedOn('A')).toEqual([1]);
  });

  it('that fails for good takes down none that is ready', async () => {
    await house.running('A', 0, 1);
    runner.hold('start');
    runner.crash('A');
    await settled();
    const [first, second] = [await runner.nextCall('start'), await runner.nextCall('start')];
    expect([first.gpuIds, second.gpuIds]).toEqual([[0], [1]]);
    first.succeed();
    second.fail(new ModelLoadError('not on GPU 1'));
    await settled();
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 ERROR']);
    expect(runner.calls.at(-1)).toBe('stop A [1]');
    expect(runner.servedOn('A')).toEqual([0]);
  });
});

describe('a server that dies', () => {
  const die = async (): Promise<void> => {
    runner.crash('A');
    await house.probe();
  };

  it('is seen while another GPU of the model waits for its turn, and waits with it', async () => {
    await house.running('A', 0);
    runner.hold('start');
    await house.supervisor.start('B', 1, {});
    const b = await runner.nextCall('start');
    await house.supervisor.start('A', 1, {});
    await settled();
    await die();
    expect(house.status()).toEqual(['A 0 STARTING', 'A 1 STARTING', 'B 1 STARTING']);
    await house.supervisor.start('C', 0, {});
    b.succeed();
    await settled();
    runner.letGo('start');
    await pass(10_000);
    expect(runner.measuredTogether).toBe(false);
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING', 'B 1 RUNNING', 'C 0 RUNNING']);
  });

  it('is seen while another GPU of the model starts', async () => {
    await house.running('A', 0);
    runner.hold('start');
    await house.supervisor.start('A', 1, {});
    await settled();
    await die();
    expect(house.status()).toEqual(['A 0 STARTING', 'A 1 STARTING']);
  });

  it('is seen while another GPU of the model falls asleep', async () => {
    await house.running('A', 0, 1);
    runner.hold('sleep');
    house.supervisor.sleepOrWake('A', 0, { kind: 'sleep', level: 1 }).catch(() => undefined);
    await settled();
    runner.phases.set(1, 'absent');
    await house.probe();
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 STARTING']);
  });

  it('has its own tries: those of another GPU are not counted against it', async () => {
    await house.running('A', 0, 1);
    await pass(3_600_000);
    for (let crash = 0; crash < 8 && house.placement('A', 1)?.status !== 'ERROR'; crash += 1) {
      runner.world.set('A', new Set([0]));
      runner.notify();
      await pass(6000);
    }
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 ERROR']);
    await pass(20_000);
    runner.crash('A');
    await pass(6000);
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 ERROR']);
  });
});

it('a start over part of a stop that fails is in ERROR with it', async () => {
  runner.span = 2;
  await house.running('A', 1);
  runner.hold('stop');
  const stopping = expect(house.supervisor.stop('A', 1)).rejects.toMatchObject({ code: 'STOP_FAILED' });
  const call = await runner.nextCall('stop');
  await house.supervisor.start('A', 2, {});
  await settled();
  call.fail(new StopFailedError('it does not end'));
  await stopping;
  expect(house.status()).toEqual(['A 1 ERROR', 'A 2 ERROR', 'A 3 ERROR']);
});
