import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { TestService } from '../support/service.js';

interface PlanView {
  readonly accepted: boolean;
  readonly would: string;
  readonly needs_mb: number | null;
  readonly needs_source: string;
  readonly reason?: { readonly code: string; readonly detail: string };
  readonly gpus: readonly {
    readonly gpu_id: number;
    readonly fits: boolean;
    readonly left_mb: number | null;
  }[];
}

describe('room on the GPUs, over HTTP', () => {
  let service: TestService;

  beforeAll(async () => {
    service = await TestService.create({
      models: { Small: { load_seconds: 0.1 }, Big: { load_seconds: 0.1 } },
      config: {
        gpus: {
          source: 'simulated',
          learn_interval_seconds: 1,
          sample_max_age_ms: 100,
          simulated: { memory_total_mib: 10_000, instance_memory_mib: 1000 },
        },
      },
      triton: {
        model_gpu_configs: {
          default: { instances_per_gpu: 4, use_dedicated_server: true },
          Big: { gpu_memory_mb: 7000 },
        },
      },
    });
    await service.boot();
  });

  afterAll(async () => {
    await service.dispose();
  });

  const plan = async (model: string, gpu: number, config?: unknown) =>
    service.call<PlanView>('POST', '/api/v1/models/plan', { model_name: model, gpu_id: gpu, config });

  it('a plan says what a start would do, and does nothing', async () => {
    const { status, body } = await plan('Big', 0);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      model_name: 'Big',
      model_type: 'triton',
      gpu_id: 0,
      accepted: true,
      would: 'start',
      needs_mb: 7000,
      needs_source: 'configured',
    });
    expect(body.gpus.map(({ gpu_id, fits }) => [gpu_id, fits])).toEqual([
      [0, true],
      [1, true],
      [2, true],
      [3, true],
    ]);
    expect(await service.placements()).toEqual([]);
    expect((await service.get('/api/v1/models/status/Big')).status).toBe(404);
  });

  it.each([
    ['nobody', 0, undefined, 'MODEL_UNKNOWN'],
    ['Small', 9, undefined, 'GPU_NOT_FOUND'],
    ['Small', -1, undefined, 'VALIDATION_FAILED'],
    ['Small', 0, { x: 1 }, 'CONFIG_OPTION_INVALID'],
    ['Small', 0, [], 'VALIDATION_FAILED'],
    ['../Small', 0, undefined, 'MODEL_UNKNOWN'],
  ])('a plan of %j on GPU %j with %j is 400 like the start: %s', async (model, gpu, config, code) => {
    const asked = await plan(model, gpu, config);
    expect(asked).toMatchObject({ status: 400, body: { code } });
    const started = await service.call('POST', '/api/v1/models/start', {
      model_name: model,
      gpu_id: gpu,
      config,
    });
    expect(started).toEqual(asked);
  });

  it('what a model took is learned, kept through kill -9, and refuses what no longer fits', async () => {
    await service.start('Small', 0);
    await service.untilRunning('Small@0');
    await service.until(async () => (await plan('Small', 1)).body.needs_source === 'learned');
    await service.until(() =>
      access(join(service.stateDir, 'gpu-memory.json')).then(
        () => true,
        () => false,
      ),
    );
    await service.end('SIGKILL');
    await service.boot();
    await service.untilRunning('Small@0');
    expect((await plan('Small', 0)).body).toMatchObject({ accepted: true, would: 'nothing', needs_mb: 4000 });
    // 10,000 in total, 4,000 and 16 of its own in use.
    const { body } = await plan('Big', 0);
    expect(body).toMatchObject({
      accepted: false,
      would: 'refuse',
      reason: { code: 'GPU_MEMORY_SHORT' },
    });
    expect(body.gpus[0]).toMatchObject({
      gpu_id: 0,
      fits: false,
      left_mb: 5984,
      in_the_way: { placements: [{ model_name: 'Small', state: 'running', memory_mb: 4000 }], processes: [] },
    });
    const start = await service.start('Big', 0);
    expect(start).toMatchObject({ status: 409, body: body.reason });
    await service.start('Big', 1);
    await service.untilRunning('Big@1', 'Small@0');
    // Big may yet take what the configuration says of it.
    const second = await service.start('Small', 1);
    expect(second).toMatchObject({ status: 409, body: { code: 'GPU_MEMORY_SHORT' } });
    expect(String(second.body.detail)).toContain('needs 4000 MiB on GPU 1 (learned), and 2984 MiB are left');
    expect(String(second.body.detail)).toContain('− 3000 MiB reserved for Big');
  });
});
