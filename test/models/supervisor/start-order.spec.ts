import { jest } from '@jest/globals';
import { ModelLoadError } from '../../../src/runners/errors.js';
import type { Deployment } from '../../../src/runners/deployment.js';
import { House } from '../../fakes/house.js';
import { NeedyRunner } from '../../fakes/needy-runner.js';
import { pass, settled, useFakeTime } from '../../fakes/timers.js';

/** A backend whose checks of a start last until the test ends them. */
class CheckedRunner extends NeedyRunner {
  isHolding = false;
  readonly checks: { readonly asked: Deployment; readonly end: (error?: Error) => void }[] = [];

  override async preflight(asked: Deployment): Promise<void> {
    await super.preflight();
    if (!this.isHolding) return;
    await new Promise<void>((resolve, reject) => {
      const end = (error?: Error): void => {
        if (error) reject(error);
        else resolve();
      };
      this.checks.push({ asked, end });
    });
  }

  endCheck(error?: Error): void {
    this.checks.shift()?.end(error);
  }
}

let runner: CheckedRunner;
let house: House;
let usedMiB: number;

beforeEach(async () => {
  useFakeTime();
  usedMiB = 0;
  runner = new CheckedRunner();
  runner.measures = true; // a server for each GPU
  house = await House.withMemory({ runner }).boot();
  const sample = house.gpus.sample.bind(house.gpus);
  jest
    .spyOn(house.gpus, 'sample')
    .mockImplementation(async () =>
      (await sample()).map((gpu) => ({ ...gpu, memoryTotalMiB: 10_000, memoryUsedMiB: usedMiB })),
    );
});
afterEach(() => {
  expect(house.defects()).toEqual([]);
  jest.useRealTimers();
});

/** What a command was answered with, once it was: a status or an error code. */
interface Answer {
  is: string | undefined;
}

function answerOf(command: Promise<{ placement: { status: string } | undefined }>): Answer {
  const answer: Answer = { is: undefined };
  command.then(
    ({ placement }) => (answer.is = placement?.status),
    (error: unknown) => (answer.is = (error as { code?: string }).code ?? String(error)),
  );
  return answer;
}

const start = (model: string, gpuId: number, config: Record<string, unknown> = {}): Answer =>
  answerOf(house.supervisor.start(model, gpuId, config));
const stop = (model: string, gpuId: number): Answer => answerOf(house.supervisor.stop(model, gpuId));

describe('a stop that arrives while a start is in its checks', () => {
  it.each(['at once', 'a moment later'])(
    'of the same placement, %s, follows it, and stops it',
    async (when) => {
      runner.isHolding = true;
      const started = start('A', 0);
      if (when === 'a moment later') await settled();
      const stopped = stop('A', 0);
      await pass(1000);
      expect([started.is, stopped.is]).toEqual([undefined, undefined]);
      runner.endCheck();
      await settled();
      expect([started.is, stopped.is]).toEqual(['STARTING', 'STOPPED']);
      expect(house.status()).toEqual([]);
      expect(house.store.wanted()).toEqual({});
    },
  );

  it('finds nothing when that is refused', async () => {
    runner.isHolding = true;
    const started = start('A', 0);
    await settled();
    const stopped = stop('A', 0);
    runner.endCheck(new ModelLoadError('no template'));
    await settled();
    expect([started.is, stopped.is]).toEqual(['MODEL_LOAD_FAILED', 'MODEL_NOT_RUNNING']);
  });

  it('of another placement or model does not wait for it', async () => {
    await house.running('A', 1);
    await house.running('B', 0);
    runner.isHolding = true;
    const started = start('A', 0);
    await settled();
    const stops = [stop('A', 1), stop('B', 0)];
    await settled();
    expect(stops.map(({ is }) => is)).toEqual(['STOPPED', 'STOPPED']);
    expect(started.is).toBeUndefined();
    runner.endCheck();
    await settled();
    expect(house.status()).toEqual(['A 0 RUNNING']);
  });

  it('of a start whose GPUs are still being read follows it, too', async () => {
    const unread = await House.withMemory({ runner: new NeedyRunner() }).boot();
    let read: () => void = () => undefined;
    const sample = unread.gpus.sample.bind(unread.gpus);
    jest.spyOn(unread.gpus, 'sample').mockImplementationOnce(async () => {
      await new Promise<void>((resolve) => (read = resolve));
      return sample();
    });
    const started = answerOf(unread.supervisor.start('A', 0, {}));
    await settled();
    const stopped = answerOf(unread.supervisor.stop('A', 0));
    await settled();
    read();
    await settled();
    expect([started.is, stopped.is]).toEqual(['STARTING', 'STOPPED']);
    expect(unread.status()).toEqual([]);
  });
});

describe('starts whose checks hang', () => {
  it('are each answered after their own 5 s, also six of one placement', async () => {
    runner.preflightHangs = true;
    const answers = Array.from({ length: 6 }, () => start('A', 0));
    await pass(1000);
    const later = start('A', 0);
    await pass(3999);
    expect(answers.map(({ is }) => is)).toEqual(Array(6).fill(undefined));
    await pass(1);
    expect(answers.map(({ is }) => is)).toEqual(Array(6).fill('PREFLIGHT_TIMEOUT'));
    expect(later.is).toBeUndefined();
    await pass(1000);
    expect(later.is).toBe('PREFLIGHT_TIMEOUT');
    expect([house.status(), house.store.wanted(), runner.calls]).toEqual([[], {}, []]);
  });

  it('hold up no stop of another placement of the model, and no sleep', async () => {
    await house.running('A', 1, 2);
    runner.preflightHangs = true;
    start('A', 0);
    await settled();
    const slept = answerOf(house.supervisor.sleepOrWake('A', 2, { kind: 'sleep', level: 1 }));
    const stopped = stop('A', 1);
    await settled();
    expect([slept.is, stopped.is]).toEqual(['RUNNING', 'STOPPED']);
    await pass(5000);
  });
});

describe('options that change between the checks of a start and its acceptance', () => {
  it('are a conflict where the start says others', async () => {
    runner.isHolding = true;
    const [first, second] = [start('A', 0, { instances: 5 }), start('A', 1, { instances: 3 })];
    await settled();
    runner.endCheck();
    await settled();
    expect(first.is).toBe('STARTING');
    runner.endCheck();
    await settled();
    expect(second.is).toBe('OPTIONS_CONFLICT');
    expect(house.store.wanted()).toEqual({ A: ['0 serve'] });
  });

  it('are checked anew where the start says none: it begins with none that were not', async () => {
    const begun = jest.spyOn(runner, 'start');
    runner.isHolding = true;
    const [first, second] = [start('A', 0, { instances: 5 }), start('A', 1)];
    await settled();
    expect(runner.checks.map(({ asked }) => asked.options)).toEqual([{ instances: 5 }, { instances: 2 }]);
    runner.endCheck();
    await settled();
    expect(first.is).toBe('STARTING');
    runner.endCheck();
    await settled();
    expect(second.is).toBeUndefined();
    expect(runner.checks.map(({ asked }) => asked)).toMatchObject([
      { gpuIds: [1], options: { instances: 5 } },
    ]);
    runner.endCheck();
    await settled();
    expect(second.is).toBe('STARTING');
    const options = begun.mock.calls.map(([asked]) => asked).map(({ gpuIds, options }) => [gpuIds, options]);
    expect(options).toEqual([
      [[0], { instances: 5 }],
      [[1], { instances: 5 }],
    ]);
  });

  it('are refused where the checks find them unfit, with no room kept', async () => {
    runner.needs = { A: { memoryMiB: 6000, policy: 'shared' }, B: { memoryMiB: 6000, policy: 'shared' } };
    runner.isHolding = true;
    start('A', 0, { instances: 5 });
    const second = start('A', 1);
    await settled();
    runner.endCheck();
    await settled();
    runner.endCheck();
    await settled();
    runner.endCheck(new ModelLoadError('5 do not fit'));
    await settled();
    expect(second.is).toBe('MODEL_LOAD_FAILED');
    runner.isHolding = false;
    expect((await house.supervisor.start('B', 1, {})).placement?.status).toBe('STARTING');
    await settled();
  });
});

describe('two starts at once of one placement that just fits', () => {
  beforeEach(() => {
    runner.needs = { A: { memoryMiB: 10_000, policy: 'shared' } };
  });

  it('are both accepted, and it begins once', async () => {
    const answers = [start('A', 0), start('A', 0)];
    await settled();
    expect(answers.map(({ is }) => is)).toEqual(['STARTING', 'STARTING']);
    expect(runner.calls).toEqual(['start A [0]']);
  });

  it('share one check, and are both accepted', async () => {
    runner.isHolding = true;
    const answers = [start('A', 0), start('A', 0)];
    await settled();
    expect(runner.checks).toHaveLength(1);
    runner.endCheck();
    await settled();
    expect(answers.map(({ is }) => is)).toEqual(['STARTING', 'STARTING']);
    expect(runner.calls).toEqual(['start A [0]']);
  });

  it('share one check, and are both refused where that finds something in the way; the next one asks anew', async () => {
    runner.isHolding = true;
    const answers = [start('A', 0), start('A', 0)];
    await settled();
    runner.endCheck(new ModelLoadError('port 8000 is taken'));
    await settled();
    expect(answers.map(({ is }) => is)).toEqual(['MODEL_LOAD_FAILED', 'MODEL_LOAD_FAILED']);
    expect(house.store.wanted()).toEqual({});
    const third = start('A', 0);
    await settled();
    expect(runner.checks).toHaveLength(1);
    runner.endCheck();
    await settled();
    expect(third.is).toBe('STARTING');
  });

  it('are both accepted, though the first one serves by the time that the room of the second is looked at', async () => {
    usedMiB = 0;
    const first = start('A', 0);
    await settled();
    usedMiB = 9000;
    house.gpus.processes.set(0, [{ pid: runner.pidOn(0), name: 'server', memoryMiB: 9000 }]);
    const second = start('A', 0);
    await settled();
    expect([first.is, second.is]).toEqual(['STARTING', 'RUNNING']);
    expect(runner.calls).toEqual(['start A [0]']);
  });
});
