import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { toStatusItem } from '../../src/models/api/views.js';
import type { Deployment } from '../../src/runners/deployment.js';
import type { RunnerContext } from '../../src/runners/runner-context.js';
import type { DesiredDeployment } from '../../src/state/desired-state.js';
import { FakeRunner } from '../fakes/fake-runner.js';
import { House } from '../fakes/house.js';
import { desired } from '../fakes/memory-store.js';
import { NeedyRunner } from '../fakes/needy-runner.js';
import { pass, settled, useFakeTime } from '../fakes/timers.js';

let house: House;

beforeEach(useFakeTime);
afterEach(async () => {
  expect(house.defects()).toEqual([]);
  await house.supervisor.beforeApplicationShutdown();
  jest.useRealTimers();
});

const HOST = ['GPU-0', 'GPU-1', 'GPU-2', 'GPU-3'];
/** The same, with the GPU of index 1 taken out. */
const SHRUNK = ['GPU-0', 'GPU-2', 'GPU-3'];

/** On disk: on the GPU that had this index when it was last seen. */
function onGpu(
  gpuId: number,
  gpuUuid: string | null,
  index = gpuId,
): DesiredDeployment['placements'][number] {
  return { gpu_id: gpuId, gpus: [{ gpu_id: index, gpu_uuid: gpuUuid }], wanted: 'serve' };
}

/** The service boots on a host with these GPUs, beside a backend that serves. */
async function boot(
  uuids: readonly (string | null)[] | Error,
  state: readonly DesiredDeployment[],
  runner = new FakeRunner(),
  serving = true,
): Promise<void> {
  for (const { model_name: model, placements } of serving ? state : []) {
    runner.world.set(model, new Set(placements.map(({ gpu_id: gpuId }) => gpuId)));
  }
  house = House.withMemory({ runner, state });
  show(uuids);
  await house.boot();
}

function show(uuids: readonly (string | null)[] | Error): void {
  house.gpus.error = uuids instanceof Error ? uuids : undefined;
  house.gpus.uuids = uuids instanceof Error ? undefined : uuids;
}

/** Somebody reads the GPUs some time later. */
async function read(): Promise<void> {
  await pass(10_000);
  house.whereabouts.tick();
  await settled();
}

const items = () =>
  house.supervisor
    .deployments()
    .flatMap((deployment) => deployment.visible().map((held) => toStatusItem(deployment, held)));

/** What is on disk of its placements, without what the status tells of their past. */
const saved = (model: string) =>
  house.store.saved.get(model)?.placements.map(({ history: _, ...kept }) => kept);

describe('a GPU was taken out while the service was down', () => {
  it('a placement stays on its own GPU, under the index that this has now; nothing is done to it', async () => {
    await boot(SHRUNK, [desired('A', [onGpu(2, 'GPU-2')])]);
    expect(house.status()).toEqual(['A 1 RUNNING']);
    expect(house.runner.calls).toEqual([]);
    expect(house.gpuOccupants.list()).toMatchObject([{ gpuId: 1, placement: 'A@1' }]);
    expect(house.supervisor.occupants()).toMatchObject([{ modelName: 'A', gpuId: 1 }]);
    expect(saved('A')).toEqual([onGpu(2, 'GPU-2', 1)]);
  });

  it('that of the GPU is an ERROR that names it, cleaned up, and nobody else takes its place', async () => {
    await boot(SHRUNK, [desired('A', [onGpu(1, 'GPU-1')])]);
    expect(items()).toMatchObject([{ gpu_id: 1, status: 'ERROR', error: { code: 'GPU_NOT_FOUND' } }]);
    expect(items()[0]?.error?.message).toContain('GPU-1');
    expect(house.runner.calls).toEqual(['stop A [1]']);
    expect(house.gpuOccupants.list()).toEqual([]);
    expect(saved('A')).toMatchObject([{ gpu_id: 1, wanted: 'failed', error: { code: 'GPU_NOT_FOUND' } }]);
  });

  it('the next boot without the GPU finds the same, and one with it can start it again', async () => {
    const failed = { ...onGpu(1, 'GPU-1'), wanted: 'failed' as const };
    await boot(HOST, [desired('A', [failed])], new FakeRunner(), false);
    expect(house.status()).toEqual(['A 1 ERROR']);
    await house.supervisor.start('A', 1, {});
    await settled();
    expect(house.status()).toEqual(['A 1 RUNNING']);
  });

  it('two placements of a model that have the same index, one of old, are both told and stopped', async () => {
    await boot(SHRUNK, [desired('A', [onGpu(1, 'GPU-1'), onGpu(2, 'GPU-2')])]);
    expect(house.status().sort()).toEqual(['A 1 ERROR', 'A 1 RUNNING']);
    await house.supervisor.stop('A', 1);
    expect(house.status()).toEqual(['A 1 ERROR']);
    await house.supervisor.stop('A', 1);
    expect(house.status()).toEqual([]);
    expect(house.runner.world.get('A')).toEqual(new Set());
  });

  it('two that have the same index are told apart by their UUID: a stop of the one of old leaves the other', async () => {
    await boot(SHRUNK, [desired('A', [onGpu(1, 'GPU-1'), onGpu(2, 'GPU-2')])]);
    expect(house.status().sort()).toEqual(['A 1 ERROR', 'A 1 RUNNING']);
    const errors = house.supervisor
      .deployments()[0]
      ?.placements()
      .flatMap(({ error }) => error?.message ?? []);
    expect(errors).toEqual([expect.stringContaining('"gpu_uuid": "GPU-1"')]);
    for (const gpuUuid of ['GPU-0', 'GPU-3', 'GPU-9']) {
      await expect(house.supervisor.stop('A', 1, { gpuUuid })).rejects.toMatchObject({
        code: 'MODEL_NOT_RUNNING',
        message: expect.stringContaining(gpuUuid),
      });
    }
    await house.supervisor.stop('A', 1, { gpuUuid: 'GPU-1' });
    expect(house.status()).toEqual(['A 1 RUNNING']);
    expect(house.runner.servedOn('A')).toEqual([2]);
    await house.supervisor.stop('A', 1, { gpuUuid: 'GPU-2' });
    expect(house.status()).toEqual([]);
  });

  it('one that is started where another has been gets a number of its own', async () => {
    await boot(SHRUNK, [desired('A', [onGpu(2, 'GPU-2')])]);
    await house.supervisor.start('A', 2, {});
    await settled();
    expect(house.status()).toEqual(['A 1 RUNNING', 'A 2 RUNNING']);
    expect(house.runner.world.get('A')).toEqual(new Set([2, 3]));
    expect(saved('A')).toEqual([onGpu(2, 'GPU-2', 1), onGpu(3, 'GPU-3', 2)]);
    await house.supervisor.stop('A', 2);
    expect(house.status()).toEqual(['A 1 RUNNING']);
    expect(house.runner.world.get('A')).toEqual(new Set([2]));
  });

  it('a start where one serves that has moved is that one', async () => {
    await boot(SHRUNK, [desired('A', [onGpu(2, 'GPU-2')])]);
    await house.supervisor.start('A', 1, {});
    await settled();
    expect(house.runner.calls).toEqual([]);
    await expect(house.supervisor.stop('A', 3)).rejects.toThrow('not running on GPU 3');
  });

  it('what has died meanwhile is launched again on its own GPU', async () => {
    const runner = new FakeRunner();
    const start = jest.spyOn(runner, 'start');
    await boot(SHRUNK, [desired('A', [onGpu(2, 'GPU-2')])], runner, false);
    expect(house.status()).toEqual(['A 1 RUNNING']);
    const [deployment, context] = start.mock.calls[0] as [Deployment, RunnerContext];
    expect(deployment.gpus?.get(2)).toEqual([{ id: 1, uuid: 'GPU-2' }]);
    expect(context.gpus.map(({ id, uuid }) => [id, uuid])).toEqual(SHRUNK.map((uuid, id) => [id, uuid]));
  });

  it('one over several GPUs follows all of them, and is an ERROR when one is gone', async () => {
    const over = (...uuids: string[]) => ({
      gpu_id: Number(uuids[0]?.slice(4)),
      gpu_ids: uuids.map((uuid) => Number(uuid.slice(4))),
      gpus: uuids.map((uuid) => ({ gpu_id: Number(uuid.slice(4)), gpu_uuid: uuid })),
      wanted: 'serve' as const,
    });
    const runner = new NeedyRunner();
    runner.span = 2;
    await boot(
      SHRUNK,
      [desired('A', [over('GPU-2', 'GPU-3')]), desired('B', [over('GPU-0', 'GPU-1')])],
      runner,
    );
    expect(house.status()).toEqual(['A 1 RUNNING', 'A 2 RUNNING', 'B 0 ERROR', 'B 1 ERROR']);
    expect(house.placement('B', 0)?.error).toContain('GPU-1');
  });
});

describe('a driver that does not answer at the boot', () => {
  it('takes no GPU away: what serves stays where it was last seen', async () => {
    await boot(new Error('no driver'), [desired('A', [onGpu(2, 'GPU-2', 1)])]);
    expect(house.status()).toEqual(['A 1 RUNNING']);
    show(SHRUNK);
    await read();
    expect(house.status()).toEqual(['A 1 RUNNING']);
    expect(house.runner.calls).toEqual([]);
  });

  it('has nothing launched until it does', async () => {
    await boot(new Error('no driver'), [desired('A', [onGpu(1, 'GPU-1')])], new FakeRunner(), false);
    expect(house.placement('A', 1)).toMatchObject({ status: 'STARTING' });
    expect(house.runner.calls).toEqual([]);
    show(SHRUNK);
    await pass(10_000);
    await read();
    expect(house.status()).toEqual(['A 1 ERROR']);
    expect(house.runner.calls).not.toContain('start A [1]');
  });

  it('or does not tell every UUID has nobody given up', async () => {
    await boot(['GPU-0', null, 'GPU-3'], [desired('A', [onGpu(2, 'GPU-2')])], new FakeRunner(), false);
    expect(house.placement('A', 2)).toMatchObject({ status: 'STARTING' });
    expect(house.runner.calls).toEqual([]);
    show(SHRUNK);
    await pass(10_000);
    await read();
    await pass(10_000);
    expect(house.status()).toEqual(['A 1 RUNNING']);
  });
});

describe('GPUs that move while the service runs', () => {
  it('take their placements along at the next reading', async () => {
    await boot(HOST, []);
    await house.running('A', 2);
    show(SHRUNK);
    await read();
    expect(house.status()).toEqual(['A 1 RUNNING']);
    expect(saved('A')).toEqual([onGpu(2, 'GPU-2', 1)]);
    expect(house.gpuOccupants.list()).toMatchObject([{ gpuId: 1, placement: 'A@1' }]);
  });

  it('one that goes takes its placement into ERROR', async () => {
    await boot(HOST, []);
    await house.running('A', 1, 2);
    show(SHRUNK);
    await read();
    expect(house.status().sort()).toEqual(['A 1 ERROR', 'A 1 RUNNING']);
    expect(house.runner.world.get('A')).toEqual(new Set([2]));
  });
});

describe('a state of an earlier version, without UUIDs', () => {
  const old = () => desired('A', [{ gpu_id: 2, wanted: 'serve' }]);

  it('gets them at the first look', async () => {
    await boot(HOST, [old()]);
    expect(house.status()).toEqual(['A 2 RUNNING']);
    expect(saved('A')).toEqual([onGpu(2, 'GPU-2')]);
  });

  it('is on the GPU that its server was launched for, where that can be told', async () => {
    const runner = new FakeRunner();
    const status = runner.getStatus.bind(runner);
    runner.getStatus = async (deployment) =>
      (await status(deployment)).map((each) => ({ ...each, gpuUuids: ['GPU-2'] }));
    await boot(SHRUNK, [old()], runner);
    await read();
    expect(house.status()).toEqual(['A 1 RUNNING']);
    expect(saved('A')).toEqual([onGpu(2, 'GPU-2', 1)]);
  });

  it('goes by the index where the GPUs have no UUID', async () => {
    await boot([null, null, null], [old()]);
    await read();
    expect(house.status()).toEqual(['A 2 RUNNING']);
    expect(saved('A')).toEqual([{ gpu_id: 2, wanted: 'serve' }]);
  });
});
