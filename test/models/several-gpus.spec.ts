import { jest } from '@jest/globals';
import { toInstanceInfo, toStatusItem } from '../../src/models/api/views.js';
import { ModelLoadError } from '../../src/runners/errors.js';
import { House } from '../fakes/house.js';
import { NeedyRunner } from '../fakes/needy-runner.js';
import { pass, settled, useFakeTime } from '../fakes/timers.js';

let runner: NeedyRunner;
let house: House;

beforeEach(async () => {
  useFakeTime();
  runner = new NeedyRunner();
  runner.span = 2;
  house = await House.withMemory({ runner }).boot();
});
afterEach(() => {
  expect(house.defects()).toEqual([]);
  jest.useRealTimers();
});

const start = async (model: string, gpuId: number) =>
  toInstanceInfo(await house.supervisor.start(model, gpuId, {}));
const stop = async (model: string, gpuId: number) =>
  toInstanceInfo(await house.supervisor.stop(model, gpuId));
const items = () =>
  house.supervisor
    .deployments()
    .flatMap((deployment) => deployment.visible().map((held) => toStatusItem(deployment, held)));

describe('a placement over several GPUs', () => {
  it('holds each of them in status, and is one server', async () => {
    expect(await start('A', 1)).toMatchObject({
      active_gpu_ids: [1, 2],
      total_instances: 4,
      placements: [
        { gpu_id: 1, gpu_ids: [1, 2], status: 'STARTING' },
        { gpu_id: 2, gpu_ids: [1, 2], status: 'STARTING' },
      ],
    });
    await settled();
    expect(runner.calls).toEqual(['start A [1]']);
    expect(items()).toMatchObject([
      { gpu_id: 1, gpu_ids: [1, 2], status: 'RUNNING' },
      { gpu_id: 2, gpu_ids: [1, 2], status: 'RUNNING' },
    ]);
    expect(house.gpuOccupants.list()).toMatchObject([
      { gpuId: 1, placement: 'A@1', pid: runner.pidOn(1) },
      { gpuId: 2, placement: 'A@1', pid: runner.pidOn(1) },
    ]);
  });

  it('is there already for a start on any of them, and is stopped on any of them', async () => {
    await house.running('A', 1);
    expect(await start('A', 2)).toMatchObject({ status: 'RUNNING', active_gpu_ids: [1, 2] });
    expect(await house.supervisor.foresee('A', 2, {})).toMatchObject({ would: 'nothing', gpuIds: [1, 2] });
    const stopped = await stop('A', 2);
    expect(stopped).toMatchObject({
      status: 'STOPPED',
      active_gpu_ids: [],
      placements: [{ gpu_id: 1 }, { gpu_id: 2 }],
    });
    expect(runner.calls).toEqual(['stop A [1]']);
    expect(house.status()).toEqual([]);
    await expect(stop('A', 2)).rejects.toMatchObject({ code: 'MODEL_NOT_RUNNING' });
  });

  it('is refused where one of them is not there, or held by another of the model', async () => {
    await expect(start('A', 3)).rejects.toMatchObject({ code: 'GPU_NOT_FOUND' });
    await house.running('A', 1);
    await expect(start('A', 0)).rejects.toMatchObject({
      code: 'PLACEMENT_OVERLAP',
      kind: 'conflict',
      message: expect.stringContaining('would take GPU 0, 1, and runs on GPU 1, 2') as unknown,
    });
    expect(await house.supervisor.foresee('A', 0, {})).toMatchObject({
      would: 'refuse',
      refusal: { code: 'PLACEMENT_OVERLAP' },
    });
    expect(house.store.wanted()).toEqual({ A: ['1 serve'] });
  });

  it('needs its room on all of them', async () => {
    const sample = house.gpus.sample.bind(house.gpus);
    jest
      .spyOn(house.gpus, 'sample')
      .mockImplementation(async () =>
        (await sample()).map((gpu) => ({ ...gpu, memoryTotalMiB: 10_000, memoryUsedMiB: 0 })),
      );
    runner.needs = { A: { memoryMiB: 6000, policy: 'shared' }, B: { memoryMiB: 6000, policy: 'shared' } };
    runner.hold('start');
    const answers = await Promise.allSettled([start('A', 1), start('B', 0), start('B', 2)]);
    expect(answers.map((each) => (each.status === 'rejected' ? (each.reason as Error).message : ''))).toEqual(
      ['', expect.stringContaining('6000 MiB on GPU 1'), expect.stringContaining('6000 MiB on GPU 2')],
    );
    const forecast = await house.supervisor.foresee('B', 0, {});
    expect(forecast.refusal?.message).toMatch(/on GPU 1 /);
    expect([...forecast.gpus].map(([id, { refusal }]) => [id, refusal?.code])).toEqual([
      [0, undefined],
      [1, 'GPU_MEMORY_SHORT'],
      [2, 'GPU_MEMORY_SHORT'],
      [3, undefined],
    ]);
    runner.letGo('start');
    await settled();
  });

  it('is stopped when the memory of all of them is back, and says the sum', async () => {
    await house.running('A', 1);
    const holder = (memoryMiB: number) => [{ pid: runner.pidOn(1), name: 'vllm', memoryMiB }];
    house.gpus.processes.set(1, holder(3000)).set(2, holder(4000));
    const failed = expect(stop('A', 1)).rejects.toMatchObject({
      code: 'GPU_MEMORY_HELD',
      message: expect.stringContaining('GPU 2: process') as unknown,
    });
    await pass(5000);
    house.gpus.processes.delete(1);
    await pass(5000);
    await failed;
    const again = stop('A', 2);
    house.gpus.processes.delete(2);
    await pass(1000);
    expect(await again).toMatchObject({ gpu_memory: { released_mb: 7000, held_mb: 0 } });
  });

  it('is found again after a restart as it was, whatever its options come to by then', async () => {
    await house.running('A', 1);
    const narrow = new NeedyRunner();
    narrow.world.set('A', new Set([1]));
    const next = await House.withMemory({ runner: narrow, state: [...house.store.saved.values()] }).boot();
    expect(next.status()).toEqual(['A 1 RUNNING', 'A 2 RUNNING']);
    expect(toInstanceInfo(await next.supervisor.stop('A', 2))).toMatchObject({ status: 'STOPPED' });
    expect(next.store.wanted()).toEqual({});
  });

  it('that failed gives way to a start on one of its GPUs, which follows its release', async () => {
    runner.failNext('start', new ModelLoadError('no such layer'));
    await start('A', 1);
    await settled();
    expect(house.status()).toEqual(['A 1 ERROR', 'A 2 ERROR']);
    expect(await start('A', 0)).toMatchObject({ active_gpu_ids: [0, 1] });
    await settled();
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
    expect(house.store.wanted()).toEqual({ A: ['0 serve'] });
  });

  it('that is being stopped keeps a start on one of its GPUs waiting', async () => {
    await house.running('A', 1);
    runner.hold('stop');
    const stopping = stop('A', 1);
    const call = await runner.nextCall('stop');
    await start('A', 0);
    await settled();
    expect(runner.calls).toEqual(['stop A [1]']);
    expect(house.status()).toEqual(['A 0 STARTING', 'A 1 STARTING', 'A 2 RUNNING']);
    call.succeed();
    await stopping;
    await settled();
    expect(runner.calls).toEqual(['stop A [1]', 'start A [0]']);
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
  });
});
