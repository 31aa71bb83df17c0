import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { join } from 'node:path';
import { containersOf, docker, engineAnswers, removeContainersOf } from '../support/docker.js';
import { engineIsOurs, startEngine, stopEngine } from '../support/own-engine.js';
import { TestService } from '../support/service.js';
import { SocketGate } from '../support/socket-gate.js';

jest.setTimeout(180_000);

const IMAGE = process.env.MIC_REAL_TRITON_IMAGE ?? 'nvcr.io/nvidia/tritonserver:25.04-py3';

let service: TestService;
let gate: SocketGate | undefined;

/** The service over real Triton in real containers, behind a gate to the Engine. */
async function boot(config: Record<string, unknown> = {}): Promise<TestService> {
  service = await TestService.create({
    process: true,
    repository: join(import.meta.dirname, 'models'),
    triton: {
      launcher: 'docker',
      image_name: IMAGE,
      command: ['tritonserver'],
      gpus: 'none',
      ulimits: [],
      shm_size: '256m',
      exit_timeout_seconds: 5,
      api_timeout_seconds: 60,
      model_gpu_configs: { default: { instances_per_gpu: 1 } },
    },
    config: { restart: { initial_delay_ms: 100 }, ...config },
  });
  await service.configure({ runners: { triton: { container_name: `triton_${service.instanceName}` } } });
  return service;
}

async function bootBehindGate(config: Record<string, unknown> = {}): Promise<SocketGate> {
  const path = join('/tmp', `mic-gate-${process.pid}-${Math.trunc(performance.now())}.sock`);
  gate = new SocketGate(path, '/var/run/docker.sock');
  await gate.open();
  const mic = await boot({
    launchers: { docker: { socket_path: path, request_timeout_seconds: 5 } },
    ...config,
  });
  await mic.boot();
  await mic.start('MAM', 0);
  await mic.untilRunning('MAM@0');
  return gate;
}

async function progressOf(model: string): Promise<string> {
  const { body } = await service.get<{ progress?: string }[]>(`/api/v1/models/status/${model}`);
  return body[0]?.progress ?? '';
}

afterEach(async () => {
  await service.dispose();
  await removeContainersOf(service.instanceName);
  await gate?.shut();
  gate = undefined;
});

const isThere = await engineAnswers();
const withEngine = isThere ? describe : describe.skip;
const withOurEngine = isThere && (await engineIsOurs()) ? it : it.skip;

withEngine('F5: real Triton freezes', () => {
  it('in a paused container: it is ended and started anew, with all its models', async () => {
    const mic = await boot({ liveness: { deadline_seconds: 3 } });
    await mic.boot();
    await mic.start('MAM', 0);
    await mic.start('SlowInfer', 1);
    await mic.untilRunning('MAM@0', 'SlowInfer@1');
    const [before] = await containersOf(mic.instanceName);
    await docker.getContainer(before?.Id ?? '').pause();
    await mic.until(async () => {
      const [now] = await containersOf(mic.instanceName);
      return now !== undefined && now.Id !== before?.Id;
    }, 30_000);
    await mic.untilRunning('MAM@0', 'SlowInfer@1');
    expect((await mic.infer('MAM', [1, 2, 3, 4])).output).toEqual([3, 5, 7, 9]);
    expect(await containersOf(mic.instanceName)).toHaveLength(1);
  });

  it('and thaws before the deadline: nothing happens', async () => {
    const mic = await boot({ liveness: { deadline_seconds: 10 } });
    await mic.boot();
    await mic.start('MAM', 0);
    await mic.untilRunning('MAM@0');
    const [before] = await containersOf(mic.instanceName);
    const container = docker.getContainer(before?.Id ?? '');
    await container.pause();
    const end = performance.now() + 5000;
    await mic.until(async () => {
      expect(await mic.placements()).toEqual(['MAM@0:RUNNING']);
      return performance.now() > end;
    });
    await container.unpause();
    const calm = performance.now() + 7000;
    await mic.until(async () => {
      expect(await mic.placements()).toEqual(['MAM@0:RUNNING']);
      return performance.now() > calm;
    });
    expect((await containersOf(mic.instanceName)).map(({ Id }) => Id)).toEqual([before?.Id]);
  });
});

withEngine('F6: the Engine goes away', () => {
  it('and Triton goes on: RUNNING by its own word, and a start says why it cannot be', async () => {
    const engine = await bootBehindGate();
    await engine.shut();
    const end = performance.now() + 8000;
    await service.until(async () => {
      expect(await service.placements()).toEqual(['MAM@0:RUNNING']);
      return performance.now() > end;
    });
    const refused = await service.start('FastFitAll', 1);
    expect(refused).toMatchObject({ status: 500, body: { code: 'DOCKER_UNAVAILABLE' } });
    expect((await service.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
    await engine.open();
    await service.until(async () => (await service.start('FastFitAll', 1)).status === 202);
    await service.untilRunning('MAM@0', 'FastFitAll@1');
    expect((await service.stop('MAM', 0)).status).toBe(200);
  });

  it('and Triton dies meanwhile: RUNNING ends, and it is back when the Engine is', async () => {
    const engine = await bootBehindGate();
    await engine.shut();
    const [before] = await containersOf(service.instanceName);
    await docker.getContainer(before?.Id ?? '').kill();
    await service.until(async () => (await service.placements()).join() === 'MAM@0:STARTING', 8000);
    await service.until(async () =>
      (await progressOf('MAM')).includes('Cannot connect to the Docker daemon'),
    );
    await engine.open();
    await service.until(async () => (await service.placements()).join() === 'MAM@0:RUNNING', 40_000);
    expect((await service.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
    expect(await containersOf(service.instanceName)).toHaveLength(1);
  });

  it('its event stream breaks: nothing changes, and a death meanwhile is seen without a probe', async () => {
    const engine = await bootBehindGate({ health: { slow_interval_ms: 600_000 } });
    const [before] = await containersOf(service.instanceName);
    engine.breakConnections();
    await docker.getContainer(before?.Id ?? '').kill();
    await service.until(async () => (await service.placements()).join() === 'MAM@0:STARTING', 2000);
    await service.untilRunning('MAM@0');
    const after = await containersOf(service.instanceName);
    expect(after).toHaveLength(1);
    expect(after[0]?.Id).not.toBe(before?.Id);

    engine.breakConnections();
    await service.until(async () => (await service.start('MAM', 0)).status === 202);
    expect(await service.placements()).toEqual(['MAM@0:RUNNING']);
    expect((await containersOf(service.instanceName)).map(({ Id }) => Id)).toEqual([after[0]?.Id]);
  });

  withOurEngine('for 30 s, with everything it ran: all is back when it is', async () => {
    const mic = await boot();
    await mic.boot();
    await mic.start('MAM', 0);
    await mic.untilRunning('MAM@0');
    try {
      await stopEngine();
      const end = performance.now() + 30_000;
      await mic.until(async () => (await mic.placements()).join() === 'MAM@0:STARTING', 10_000);
      await mic.until(async () => {
        expect(await mic.placements()).toEqual(['MAM@0:STARTING']);
        return performance.now() > end;
      }, 35_000);
      expect(await progressOf('MAM')).toContain('Cannot connect to the Docker daemon');
    } finally {
      await startEngine();
    }
    await mic.until(async () => (await mic.placements()).join() === 'MAM@0:RUNNING', 60_000);
    expect((await mic.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
    expect(await containersOf(mic.instanceName)).toHaveLength(1);
  });
});
