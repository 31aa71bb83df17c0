import { jest } from '@jest/globals';
import { StopFailedError } from '../../src/launchers/launcher.js';
import { toInstanceInfo, toStatusItem } from '../../src/models/api/views.js';
import { ModelLoadError } from '../../src/runners/errors.js';
import { FakeRunner } from '../fakes/fake-runner.js';
import { House } from '../fakes/house.js';
import { pass, settled, useFakeTime } from '../fakes/timers.js';

let house: House;

beforeEach(async () => {
  useFakeTime();
  house = await House.withMemory({ moreRunners: [new FakeRunner(['C'], 'other')] }).boot();
});
afterEach(() => {
  expect(house.defects()).toEqual([]);
  jest.useRealTimers();
});

const start = async (model: string, gpuId: number, config: Record<string, unknown> = {}) =>
  toInstanceInfo(await house.supervisor.start(model, gpuId, config));
const stop = async (model: string, gpuId: number) =>
  toInstanceInfo(await house.supervisor.stop(model, gpuId));

/** Nothing wanted, nothing done. */
async function expectNothingChanged(): Promise<void> {
  await settled();
  expect(house.status()).toEqual([]);
  expect(house.store.wanted()).toEqual({});
  expect(house.runner.calls).toEqual([]);
}

describe('a start is refused, and changes nothing,', () => {
  it.each([
    ['when no backend has the model', 'nope', 0, {}, 'MODEL_UNKNOWN', 'invalid'],
    ['when the model is a path', '../../etc', 0, {}, 'MODEL_UNKNOWN', 'invalid'],
    ['when the model is a property of every object', '__proto__', 0, {}, 'MODEL_UNKNOWN', 'invalid'],
    ['when there is no such GPU', 'A', 4, {}, 'GPU_NOT_FOUND', 'invalid'],
    ['when an option is of no backend', 'A', 0, { colour: 'red' }, 'CONFIG_OPTION_INVALID', 'invalid'],
    ['when an option is out of range', 'A', 0, { instances: 0 }, 'CONFIG_OPTION_INVALID', 'invalid'],
  ])('%s', async (_name, model, gpuId, config, code, kind) => {
    await expect(start(model, gpuId, config)).rejects.toMatchObject({ code, kind });
    await expectNothingChanged();
  });

  it('when the checks of the backend fail', async () => {
    house.runner.preflightError = new ModelLoadError('no template');
    await expect(start('A', 0)).rejects.toThrow('no template');
    await expectNothingChanged();
  });

  it('when the checks of the backend do not end', async () => {
    house.runner.preflightHangs = true;
    const answer = expect(start('A', 0)).rejects.toMatchObject({
      code: 'PREFLIGHT_TIMEOUT',
      kind: 'unavailable',
    });
    await pass(5000);
    await answer;
    await expectNothingChanged();
  });

  it('when the disk does not take it', async () => {
    house.store.isFull = true;
    await expect(start('A', 0)).rejects.toMatchObject({ code: 'STATE_WRITE_FAILED' });
    await expectNothingChanged();
    house.store.isFull = false;
    await expect(start('A', 0)).resolves.toMatchObject({ status: 'STARTING' });
  });

  it('and leaves what serves as it is when the disk does not take a further GPU', async () => {
    await house.running('A', 0);
    house.store.isFull = true;
    await expect(start('A', 1)).rejects.toMatchObject({ code: 'STATE_WRITE_FAILED' });
    await settled();
    expect(house.status()).toEqual(['A 0 RUNNING']);
    expect(house.runner.calls).toEqual([]);
  });

  it('names every option at fault', async () => {
    await expect(start('A', 0, { instances: 'x', colour: 1, size: 2 })).rejects.toThrow(
      /config\.instances: .*config\.colour is no option of fake.*config\.size is no option of fake/,
    );
  });
});

describe('a start where the model runs or starts', () => {
  it('answers with what is, and does nothing', async () => {
    house.runner.hold('start');
    await start('A', 0);
    await expect(start('A', 0)).resolves.toMatchObject({ status: 'STARTING', active_gpu_ids: [0] });
    (await house.runner.nextCall('start')).succeed();
    await settled();
    await expect(start('A', 0)).resolves.toMatchObject({ status: 'RUNNING', pid: 5_000_100, port: 8000 });
    await settled();
    expect(house.runner.calls).toEqual(['start A [0]']);
  });

  it('needs no room on a full disk, and no answer of the backend', async () => {
    await house.running('A', 0);
    house.store.isFull = true;
    house.runner.preflightError = new Error('must not be asked');
    await expect(start('A', 0)).resolves.toMatchObject({ status: 'RUNNING' });
  });

  it('of which there are many at once begins once', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => start('A', 0)));
    expect(answers.map((answer) => answer.active_gpu_ids)).toEqual(Array(20).fill([0]));
    await settled();
    expect(house.runner.calls).toEqual(['start A [0]']);
  });
});

describe('the options of a model', () => {
  it('are those of the configuration where a start says nothing', async () => {
    await expect(start('A', 0)).resolves.toMatchObject({ total_instances: 2 });
    expect(house.store.saved.get('A')?.options).toEqual({ instances: 2 });
  });

  it('are taken over by a further GPU', async () => {
    await start('A', 0, { instances: 5 });
    await expect(start('A', 1)).resolves.toMatchObject({ total_instances: 10 });
    await expect(start('A', 2, { instances: 5 })).resolves.toMatchObject({ total_instances: 15 });
  });

  it.each([0, 1])('cannot differ on GPU %d while the model is on GPU 0', async (gpuId) => {
    await start('A', 0, { instances: 5 });
    await expect(start('A', gpuId, { instances: 2 })).rejects.toMatchObject({
      code: 'OPTIONS_CONFLICT',
      kind: 'conflict',
      message: expect.stringContaining('{"instances":5}') as unknown,
    });
  });

  it('are chosen anew when the model is nowhere any more', async () => {
    await start('A', 0, { instances: 5 });
    await stop('A', 0);
    await expect(start('A', 0)).resolves.toMatchObject({ total_instances: 2 });
  });

  it('are chosen anew after an ERROR', async () => {
    house.runner.failNext('start', new ModelLoadError('no memory for 5'));
    await start('A', 0, { instances: 5 });
    await settled();
    await expect(start('A', 0, { instances: 1 })).resolves.toMatchObject({ total_instances: 1 });
    await settled();
    expect(house.status()).toEqual(['A 0 RUNNING']);
  });
});

describe('a stop', () => {
  it.each([
    ['of what no backend has', 'nope', 0, 'MODEL_UNKNOWN'],
    ['of what was never started', 'B', 0, 'MODEL_NOT_RUNNING'],
    ['of a GPU the model is not on', 'A', 1, 'MODEL_NOT_RUNNING'],
    ['of a GPU there is not', 'A', 99, 'MODEL_NOT_RUNNING'],
  ])('%s is a 404', async (_name, model, gpuId, code) => {
    await house.running('A', 0);
    await expect(stop(model, gpuId)).rejects.toMatchObject({ code, kind: 'not_found' });
    expect(house.status()).toEqual(['A 0 RUNNING']);
  });

  it('of what was stopped is a 404', async () => {
    await house.running('A', 0);
    await stop('A', 0);
    await expect(stop('A', 0)).rejects.toMatchObject({ code: 'MODEL_NOT_RUNNING' });
  });

  it('of the last GPU shows STOPPED', async () => {
    await house.running('A', 1);
    await expect(stop('A', 1)).resolves.toEqual({
      gpu_memory: { released_mb: 0, held_mb: 0 },
      model_name: 'A',
      model_type: 'fake',
      active_gpu_ids: [],
      total_instances: 0,
      status: 'STOPPED',
      pid: null,
      port: null,
      created_at: '2024-01-01T00:00:00.000Z',
      updated_at: '2024-01-01T00:00:00.000Z',
      placements: [{ gpu_id: 1, status: 'STOPPED', pid: null, port: null }],
    });
  });

  it('of one of several shows what is left beside it, in the order of GPUs', async () => {
    await house.running('A', 0, 1, 2);
    await expect(stop('A', 1)).resolves.toMatchObject({
      active_gpu_ids: [0, 2],
      total_instances: 4,
      status: 'RUNNING',
      pid: null,
      placements: [
        { gpu_id: 0, status: 'RUNNING' },
        { gpu_id: 1, status: 'STOPPED' },
        { gpu_id: 2, status: 'RUNNING' },
      ],
    });
  });

  it('is not waited for by commands for other models', async () => {
    await house.running('A', 0);
    house.runner.hold('stop');
    const stopping = stop('A', 0);
    const call = await house.runner.nextCall('stop');
    await start('B', 0);
    await settled();
    expect(house.status()).toEqual(['A 0 RUNNING', 'B 0 RUNNING']);
    call.succeed();
    await stopping;
  });
});

describe('what is shown of a model', () => {
  it('has pid and port of the placement the call was about', async () => {
    await house.running('A', 0, 2);
    await expect(start('A', 2)).resolves.toMatchObject({ pid: 5_000_102, port: 8002 });
    await expect(start('A', 0)).resolves.toMatchObject({ pid: 5_000_100, port: 8000 });
    await expect(start('A', 3)).resolves.toMatchObject({ pid: null, port: null });
  });

  it('is STARTING before RUNNING before ERROR', async () => {
    await house.running('A', 0);
    house.runner.failNext('start', new ModelLoadError('broken'));
    await start('A', 1);
    await settled();
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 ERROR']);
    await expect(start('A', 0)).resolves.toMatchObject({
      status: 'RUNNING',
      active_gpu_ids: [0],
      total_instances: 2,
    });
    await expect(start('A', 2)).resolves.toMatchObject({ status: 'STARTING', active_gpu_ids: [0, 2] });
    await settled();
    await stop('A', 2);
    const last = await stop('A', 0);
    expect(last).toMatchObject({ status: 'ERROR', active_gpu_ids: [] });
    expect(last.placements[1]).toMatchObject({
      gpu_id: 1,
      error: { code: 'MODEL_LOAD_FAILED', message: 'broken' },
    });
  });

  it('is one item per placement in the status', async () => {
    house.runner.failNext('start', new ModelLoadError('broken', { log: ['line'] }));
    await start('A', 3);
    await settled();
    const [deployment] = house.supervisor.deployments();
    expect(deployment?.visible().map((placement) => toStatusItem(deployment, placement))).toEqual([
      {
        model_name: 'A',
        model_type: 'fake',
        gpu_id: 3,
        status: 'ERROR',
        error: { code: 'MODEL_LOAD_FAILED', message: 'broken', log: ['line'] },
      },
    ]);
  });

  it('was created when it was first started since it was last nowhere', async () => {
    await house.running('A', 0);
    await pass(5000);
    await expect(start('A', 1)).resolves.toMatchObject({
      created_at: '2024-01-01T00:00:00.000Z',
      updated_at: '2024-01-01T00:00:05.000Z',
    });
    await stop('A', 0);
    await stop('A', 1);
    await pass(5000);
    await expect(start('A', 1)).resolves.toMatchObject({ created_at: '2024-01-01T00:00:10.000Z' });
  });
});

describe('the tenants of the GPUs', () => {
  it('are the placements that run or start', async () => {
    await house.running('A', 0);
    await house.supervisor.start('C', 1, {});
    await settled();
    await house.probe();
    expect(house.tenants.list()).toEqual([
      { modelName: 'A', gpuId: 0, placement: 'A@0', pid: 5_000_100, serverName: 'server-A', instances: 2 },
      { modelName: 'C', gpuId: 1, placement: 'C@1', pid: 5_000_101, serverName: 'server-C', instances: 2 },
    ]);
    await stop('A', 0);
    expect(house.tenants.list().map((tenant) => tenant.modelName)).toEqual(['C']);
  });
});

describe('the supervisor', () => {
  it('is busy while something starts or stops', async () => {
    expect(house.supervisor.isBusy).toBe(false);
    house.runner.hold('start');
    await start('A', 0);
    expect(house.supervisor.isBusy).toBe(true);
    (await house.runner.nextCall('start')).succeed();
    await settled();
    expect(house.supervisor.isBusy).toBe(false);
    house.runner.failNext('stop', new StopFailedError('stuck'));
    await expect(stop('A', 0)).rejects.toThrow('stuck');
    expect(house.supervisor.isBusy).toBe(true);
    await pass(1000);
    expect(house.supervisor.isBusy).toBe(false);
  });

  it('asks only the backend in which something happened', async () => {
    await house.running('A', 0);
    await house.supervisor.start('C', 1, {});
    await settled();
    const before = house.runner.statusCalls;
    house.runner.notify();
    await settled();
    expect(house.runner.statusCalls).toBe(before + 1);
  });
});
