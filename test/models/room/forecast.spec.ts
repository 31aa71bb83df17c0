import { jest } from '@jest/globals';
import { GpuNotUsableError } from '../../../src/runners/errors.js';
import { ImageMissingError } from '../../../src/launchers/launcher.js';
import { House } from '../../fakes/house.js';
import { NeedyRunner } from '../../fakes/needy-runner.js';
import { pass, settled, useFakeTime } from '../../fakes/timers.js';

let runner: NeedyRunner;
let house: House;

beforeEach(async () => {
  useFakeTime();
  runner = new NeedyRunner();
  runner.needs = { A: { memoryMiB: 6000, policy: 'shared' }, B: { memoryMiB: 6000, policy: 'shared' } };
  house = await House.withMemory({ runner }).boot();
  const sample = house.gpus.sample.bind(house.gpus);
  jest
    .spyOn(house.gpus, 'sample')
    .mockImplementation(async () =>
      (await sample()).map((gpu) => ({ ...gpu, memoryTotalMiB: 10_000, memoryUsedMiB: 0 })),
    );
});
afterEach(() => {
  expect(house.defects()).toEqual([]);
  jest.useRealTimers();
});

describe('what a start would come to', () => {
  it('is a start, with the room on every GPU, and leaves no trace', async () => {
    runner.hold('start');
    await house.supervisor.start('B', 1, {});
    const saved = house.store.wanted();
    const forecast = await house.supervisor.foresee('A', 0, {});
    expect(forecast).toMatchObject({ would: 'start', need: { memoryMiB: 6000, source: 'configured' } });
    expect(forecast.refusal).toBeUndefined();
    const [free, taken] = [forecast.gpus.get(0), forecast.gpus.get(1)];
    expect(free).toEqual({ refusal: undefined, leftMiB: 10_000, placements: [], processes: [] });
    expect(taken).toMatchObject({ leftMiB: 4000, placements: [{ modelName: 'B', state: 'starting' }] });
    expect(taken?.refusal?.code).toBe('GPU_MEMORY_SHORT');
    expect(house.store.wanted()).toEqual(saved);
    expect(house.supervisor.deployments().map(({ modelName }) => modelName)).toEqual(['B']);
    // Nothing was reserved.
    await house.supervisor.start('A', 0, {});
  });

  it('is the very refusal that a start would get', async () => {
    runner.hold('start');
    await house.supervisor.start('B', 0, {});
    const { would, refusal } = await house.supervisor.foresee('A', 0, {});
    expect(would).toBe('refuse');
    await expect(house.supervisor.start('A', 0, {})).rejects.toThrow(String(refusal?.message));
    runner.preflightError = new ImageMissingError('The image is not there');
    expect(await house.supervisor.foresee('A', 2, {})).toMatchObject({
      would: 'refuse',
      refusal: { code: 'IMAGE_MISSING' },
    });
  });

  it('is no room on a GPU that the backend cannot use, whichever the question is about', async () => {
    for (const id of [2, 3]) runner.unusable.set(id, new GpuNotUsableError(`GPU ${id} is not among those`));
    for (const asked of [0, 2]) {
      const { would, gpus } = await house.supervisor.foresee('A', asked, {});
      expect(would).toBe(asked === 0 ? 'start' : 'refuse');
      expect([...gpus].map(([id, { refusal }]) => [id, refusal?.code])).toEqual([
        [0, undefined],
        [1, undefined],
        [2, 'GPU_NOT_USABLE'],
        [3, 'GPU_NOT_USABLE'],
      ]);
    }
  });

  it('is nothing where it runs already, and a conflict with other options elsewhere', async () => {
    await house.running('A', 0);
    expect(await house.supervisor.foresee('A', 0, {})).toMatchObject({ would: 'nothing' });
    expect(await house.supervisor.foresee('A', 1, { instances: 3 })).toMatchObject({
      would: 'refuse',
      refusal: { code: 'OPTIONS_CONFLICT' },
    });
  });

  it('is an error where the question makes no sense', async () => {
    await expect(house.supervisor.foresee('nobody', 0, {})).rejects.toMatchObject({ code: 'MODEL_UNKNOWN' });
    await expect(house.supervisor.foresee('A', 9, {})).rejects.toMatchObject({ code: 'GPU_NOT_FOUND' });
    await expect(house.supervisor.foresee('A', 0, { no: 1 })).rejects.toMatchObject({
      code: 'CONFIG_OPTION_INVALID',
    });
  });
});

describe('what a model took at its peak', () => {
  const learn = async (): Promise<void> => {
    await pass(10_000);
    house.learner.tick();
    await settled();
  };
  const holds = (gpuId: number, memoryMiB: number | null): void => {
    house.gpus.processes.set(gpuId, [{ pid: runner.pidOn(gpuId), name: 'server', memoryMiB }]);
  };

  it('is learned while it runs, and is what the next start needs', async () => {
    await house.running('A', 0);
    holds(0, 7000);
    await learn();
    holds(0, 500);
    await learn();
    expect(house.learned.peakOf('A', { instances: 2 })).toBe(7000);
    expect(house.learned.peakOf('A', { instances: 3 })).toBeUndefined();
    expect(await house.supervisor.foresee('A', 1, {})).toMatchObject({
      need: { memoryMiB: 7000, source: 'learned' },
    });
    runner.hold('start');
    await house.supervisor.start('B', 1, {});
    await expect(house.supervisor.start('A', 1, {})).rejects.toThrow(
      /A needs 7000 MiB on GPU 1 \(learned\), and 4000 MiB are left/,
    );
  });

  it('does not undercut what the configuration says', async () => {
    await house.running('A', 0);
    holds(0, 100);
    await learn();
    expect(await house.supervisor.foresee('A', 1, {})).toMatchObject({
      need: { memoryMiB: 6000, source: 'configured' },
    });
  });

  it('is not learned where nobody can tell: a server with two models on a GPU, a driver that does not say', async () => {
    runner.needs = {};
    await house.running('A', 0);
    await house.running('B', 0);
    holds(0, 7000);
    await learn();
    await house.running('A', 1);
    holds(1, null);
    await learn();
    expect(house.learned.peakOf('A', { instances: 2 })).toBeUndefined();
    expect(house.learned.peakOf('B', { instances: 2 })).toBeUndefined();
  });

  it('is not learned of a server that had another model on the GPU: what that left behind nobody can tell', async () => {
    runner.needs = {};
    await house.running('A', 0);
    await house.running('B', 0);
    house.learner.tick();
    await house.supervisor.stop('B', 0);
    holds(0, 7000);
    await learn();
    expect(house.learned.peakOf('A', { instances: 2 })).toBeUndefined();
  });

  it.each([
    ['is not learned of a server that ran before this service and may have had others', true, undefined],
    ['is learned of one that is for this model alone, however old', false, 7000],
  ])('%s', async (_name, isShared, peak) => {
    // The first process of the system: older than any service.
    runner.pidOn = () => 1;
    runner.isShared = isShared;
    await house.running('A', 0);
    holds(0, 7000);
    await learn();
    expect(house.learned.peakOf('A', { instances: 2 })).toBe(peak);
  });

  it('is not looked for while GPUs cannot be read, and nobody is told but the log', async () => {
    await house.running('A', 0);
    house.gpus.error = new Error('driver gone');
    await learn();
    expect(house.status()).toEqual(['A 0 RUNNING']);
  });
});
