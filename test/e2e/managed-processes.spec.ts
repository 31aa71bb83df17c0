import { spawn } from 'node:child_process';
import { TestService } from '../support/service.js';

interface GpuView {
  readonly id: number;
  readonly processes: readonly Record<string, unknown>[];
}

describe('processes of the service’s own servers', () => {
  let service: TestService;

  beforeEach(async () => {
    service = await TestService.create({
      models: { MAM: { load_seconds: 0.1 }, FastFitAll: { load_seconds: 0.1 } },
    });
    await service.boot();
    await service.start('MAM', 0);
    await service.start('FastFitAll', 1);
    await service.untilRunning('MAM@0', 'FastFitAll@1');
  });

  afterEach(async () => {
    await service.dispose();
  });

  const processOn = async (gpu: number): Promise<Record<string, unknown> | undefined> => {
    const { body } = await service.get<GpuView[]>('/api/v1/gpus');
    return body.find(({ id }) => id === gpu)?.processes[0];
  };

  it('are told in GET /gpus, by placement, user and server', async () => {
    const [pid] = await service.serverPids();
    // A reading serves for a while (gpus.sample_max_age_ms).
    await service.until(async () => (await processOn(1)) !== undefined);
    expect(await processOn(0)).toMatchObject({
      pid,
      model_name: 'MAM',
      placement: 'MAM@0',
      container: null,
      owner: process.getuid?.() === 0 ? 'root' : (expect.any(String) as string),
      managed: true,
    });
    expect(await processOn(1)).toMatchObject({ pid, placement: 'FastFitAll@1' });
  });

  it('say in a dry run what would be hit, and serve on', async () => {
    const [pid = 0] = await service.serverPids();
    expect(await service.call('DELETE', `/api/v1/processes/${pid}?dry_run=true`)).toEqual({
      status: 200,
      body: {
        pid,
        status: 'dry_run',
        message:
          'The server triton_server would be ended by force; MAM@0, FastFitAll@1 would be in ERROR and not restarted.',
        placements: ['MAM@0', 'FastFitAll@1'],
        processes: [{ pid, name: expect.any(String) as string }],
        container: null,
        owner: expect.any(String) as string,
      },
    });
    expect(await service.serverPids()).toEqual([pid]);
    expect((await service.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
  });

  it('end with their server, which stays down until it is started again, through kill -9 too', async () => {
    const [pid = 0] = await service.serverPids();
    const { status, body } = await service.call('DELETE', `/api/v1/processes/${pid}`);
    await service.end('SIGKILL');
    expect({ status, body }).toMatchObject({
      status: 200,
      body: { pid, status: 'killed', placements: ['MAM@0', 'FastFitAll@1'] },
    });
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    await service.boot();
    const error = await service.untilError('MAM');
    expect(error.code).toBe('ENDED_OVER_API');
    expect(error.message).toMatch(/^ended over the API by (::ffff:)?127\.0\.0\.1 \(request /);
    // Longer than the first delay of a restart.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(await service.placements()).toEqual([]);
    expect(await service.serverPids()).toEqual([]);
    expect((await service.start('MAM', 0)).status).toBe(202);
    await service.untilRunning('MAM@0');
    expect((await service.stop('FastFitAll', 1)).status).toBe(200);
  });

  it('are told from those of others, which end by themselves', async () => {
    const other = spawn('sleep', ['60'], { stdio: 'ignore' });
    const { pid = 0 } = other;
    const { body } = await service.call('DELETE', `/api/v1/processes/${pid}`);
    expect(body).toEqual({ pid, status: 'killed' });
    expect(await service.placements()).toEqual(['FastFitAll@1:RUNNING', 'MAM@0:RUNNING']);
  });
});
