import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { join } from 'node:path';
import { containersOf, docker, engineAnswers, removeContainersOf } from '../support/docker.js';
import { TestService } from '../support/service.js';

jest.setTimeout(120_000);

const MODELS = join(import.meta.dirname, 'models');
const IMAGE = process.env.MIC_REAL_TRITON_IMAGE ?? 'nvcr.io/nvidia/tritonserver:25.04-py3';

let service: TestService | undefined;

/** The service over a real Engine and Triton's own binary; GPUs are simulated, instances run on the CPU. */
async function boot(triton: Record<string, unknown> = {}): Promise<TestService> {
  const created = await TestService.create({
    process: true,
    repository: MODELS,
    triton: {
      launcher: 'docker',
      image_name: IMAGE,
      command: ['tritonserver'],
      gpus: 'none',
      // An unprivileged Engine may not raise limits.
      ulimits: [],
      shm_size: '256m',
      exit_timeout_seconds: 5,
      api_timeout_seconds: 60,
      model_gpu_configs: { MAM: { instances_per_gpu: 2 } },
      ...triton,
    },
    config: { restart: { initial_delay_ms: 100 } },
  });
  service = created;
  const container = `triton_${created.instanceName}`;
  await created.configure({ runners: { triton: { container_name: container } } });
  await created.boot();
  return created;
}

afterEach(async () => {
  if (!service) return;
  await service.dispose();
  await removeContainersOf(service.instanceName);
  service = undefined;
});

const withEngine = (await engineAnswers()) ? describe : describe.skip;

withEngine('real Triton on a real Docker Engine', () => {
  it('starts, serves, and leaves nothing behind', async () => {
    const mic = await boot();
    const started = await mic.start('MAM', 0);
    expect(started).toMatchObject({ status: 202, body: { status: 'STARTING', active_gpu_ids: [0] } });
    expect(await mic.placements()).toEqual(['MAM@0:STARTING']);
    await mic.untilRunning('MAM@0');
    expect(await mic.infer('MAM', [1, 2, 3, 4])).toEqual({ status: 200, output: [3, 5, 7, 9] });

    const [container] = await containersOf(mic.instanceName);
    const info = await docker.getContainer(container?.Id ?? '').inspect();
    const again = await mic.start('MAM', 0);
    expect(again.body).toMatchObject({ status: 'RUNNING', pid: info.State.Pid, port: mic.tritonPorts.http });
    expect(info.Mounts.find((mount) => mount.Destination === '/models')).toMatchObject({ RW: false });

    expect(await mic.stop('MAM', 0)).toMatchObject({ status: 200, body: { status: 'STOPPED', pid: null } });
    expect(await containersOf(mic.instanceName)).toEqual([]);
    expect(await mic.placements()).toEqual([]);
  });

  it('loads a slow model beside one that serves, and a broken one is an ERROR in the words of Triton', async () => {
    const mic = await boot();
    await mic.start('MAM', 0);
    await mic.untilRunning('MAM@0');
    await mic.start('FastFitAll', 1);
    await mic.start('Broken', 2);
    await mic.until(async () => (await mic.placements()).includes('FastFitAll@1:STARTING'));
    expect((await mic.infer('MAM', [0, 0, 0, 0])).output).toEqual([1, 1, 1, 1]);
    await mic.until(async () => {
      const { body } = await mic.get<{ status: string }[]>('/api/v1/models/status/Broken');
      return body[0]?.status === 'ERROR';
    });
    const broken = await mic.get('/api/v1/models/status/Broken');
    expect(broken.body).toMatchObject([
      { error: { code: 'MODEL_LOAD_FAILED', message: expect.stringContaining('its weights are missing') } },
    ]);
    await mic.untilRunning('FastFitAll@1', 'MAM@0');
    expect((await mic.stop('MAM', 0)).status).toBe(200);
    expect((await containersOf(mic.instanceName)).map((container) => container.State)).toEqual(['running']);
    expect((await mic.stop('FastFitAll', 1)).status).toBe(200);
    expect(await containersOf(mic.instanceName)).toEqual([]);
    expect((await mic.stop('Broken', 2)).body).toMatchObject({ status: 'STOPPED' });
  });

  it('adds and removes a GPU of a running model while requests run, and none fails', async () => {
    const mic = await boot();
    await mic.start('MAM', 0);
    await mic.untilRunning('MAM@0');
    const answers: unknown[] = [];
    let changing = true;
    const client = async (): Promise<void> => {
      while (changing) answers.push(await mic.infer('MAM', [1, 2, 3, 4]));
    };
    const clients = [client(), client()];
    await mic.start('MAM', 1);
    await mic.untilRunning('MAM@0', 'MAM@1');
    await mic.start('MAM', 2);
    await mic.untilRunning('MAM@0', 'MAM@1', 'MAM@2');
    expect((await mic.stop('MAM', 0)).status).toBe(200);
    expect((await mic.stop('MAM', 2)).status).toBe(200);
    changing = false;
    await Promise.all(clients);
    expect(await mic.placements()).toEqual(['MAM@1:RUNNING']);
    const good = { status: 200, output: [3, 5, 7, 9] };
    expect(answers.filter((answer) => JSON.stringify(answer) !== JSON.stringify(good))).toEqual([]);
    expect(answers.length).toBeGreaterThan(20);
    const config = (await (
      await fetch(`http://127.0.0.1:${mic.tritonPorts.http}/v2/models/MAM/config`)
    ).json()) as { instance_group: unknown };
    expect(config.instance_group).toMatchObject([{ name: 'gpu_1', kind: 'KIND_CPU', count: 2 }]);
  });

  it('serves a model from a dedicated container', async () => {
    const mic = await boot({
      model_gpu_configs: { MAM: { instances_per_gpu: 1, use_dedicated_server: true } },
    });
    await mic.start('MAM', 0);
    await mic.start('SlowInfer', 0);
    await mic.untilRunning('MAM@0', 'SlowInfer@0');
    expect(await containersOf(mic.instanceName)).toHaveLength(2);
    expect((await mic.stop('SlowInfer', 0)).status).toBe(200);
    const [left] = await containersOf(mic.instanceName);
    expect(left?.Names).toEqual([`/triton_${mic.instanceName}_MAM`]);
    expect((await mic.stop('MAM', 0)).status).toBe(200);
    expect(await containersOf(mic.instanceName)).toEqual([]);
  });

  it('goes on serving while the service is dead, and is found again by the next one', async () => {
    const mic = await boot();
    await mic.start('MAM', 0);
    await mic.start('SlowInfer', 3);
    await mic.untilRunning('MAM@0', 'SlowInfer@3');
    const [before] = await containersOf(mic.instanceName);
    await mic.end('SIGKILL');
    expect((await mic.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
    await mic.boot();
    const booted = performance.now();
    await mic.untilRunning('MAM@0', 'SlowInfer@3');
    expect(performance.now() - booted).toBeLessThan(2000);
    expect((await containersOf(mic.instanceName)).map((container) => container.Id)).toEqual([before?.Id]);
  });

  it('is brought back with its models when its container is killed', async () => {
    const mic = await boot();
    await mic.start('MAM', 0);
    await mic.start('SlowInfer', 1);
    await mic.untilRunning('MAM@0', 'SlowInfer@1');
    const [before] = await containersOf(mic.instanceName);
    await docker.getContainer(before?.Id ?? '').kill();
    await mic.until(
      async () => (await mic.placements()).every((placement) => placement.endsWith('STARTING')),
      1500,
    );
    await mic.untilRunning('MAM@0', 'SlowInfer@1');
    const [after] = await containersOf(mic.instanceName);
    expect(after?.Id).not.toBe(before?.Id);
    expect((await mic.infer('MAM', [1, 2, 3, 4])).output).toEqual([3, 5, 7, 9]);
  });

  it('refuses a start whose image is not there', async () => {
    const mic = await boot({ image_name: 'mic-test/never-built:1' });
    const refused = await mic.start('MAM', 0);
    expect(refused.status).toBe(500);
    expect(refused.body).toMatchObject({
      code: 'IMAGE_MISSING',
      detail: expect.stringContaining('mic-test/never-built:1'),
    });
    expect(await mic.placements()).toEqual([]);
  });
});
