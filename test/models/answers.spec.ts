import { toStatusItem } from '../../src/models/api/views.js';
import { ModelLoadError } from '../../src/runners/errors.js';
import { pass, settled } from '../fakes/timers.js';
import { house } from './house-rig.js';
import { start, stop, useTwoBackends } from './supervisor-rig.js';

useTwoBackends();

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
      placements: [
        {
          gpu_id: 1,
          status: 'STOPPED',
          gpu_uuid: 'GPU-1',
          pid: null,
          port: null,
          options: { instances: 2 },
          since: '2024-01-01T00:00:00.000Z',
          restarts: 0,
        },
      ],
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
        error: {
          code: 'MODEL_LOAD_FAILED',
          message: 'broken',
          log: ['line'],
          at: '2024-01-01T00:00:00.000Z',
        },
        gpu_uuid: 'GPU-3',
        pid: null,
        port: null,
        options: { instances: 2 },
        since: '2024-01-01T00:00:00.000Z',
        restarts: 0,
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
