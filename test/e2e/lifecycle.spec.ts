import { afterEach, describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { TestService, type ServiceSettings } from '../support/service.js';

let service: TestService;

async function boot(settings?: ServiceSettings): Promise<void> {
  service = await TestService.create(settings);
  await service.boot();
}

afterEach(() => service.dispose());

describe('the life of a model', () => {
  it('goes from STARTING to RUNNING, serves, and is gone after its stop', async () => {
    await boot();
    const started = await service.start('MAM', 0);
    expect(started.status).toBe(202);
    expect(started.body).toMatchObject({
      model_name: 'MAM',
      model_type: 'triton',
      active_gpu_ids: [0],
      total_instances: 8,
      status: 'STARTING',
      port: service.tritonPorts.http,
    });
    expect(started.body.created_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(await service.placements()).toEqual(['MAM@0:STARTING']);
    await service.untilRunning('MAM@0');

    const again = await service.start('MAM', 0);
    expect(again.status).toBe(202);
    expect(again.body).toMatchObject({ status: 'RUNNING', port: service.tritonPorts.http });
    expect(await service.serverPids()).toEqual([again.body.pid]);
    expect((await service.infer('MAM', [1, 2, 3, 4])).status).toBe(200);

    const stopped = await service.stop('MAM', 0);
    expect(stopped.status).toBe(200);
    expect(stopped.body).toMatchObject({
      status: 'STOPPED',
      active_gpu_ids: [],
      total_instances: 0,
      pid: null,
    });
    expect(await service.placements()).toEqual([]);
    expect(await service.tritonIndex()).toEqual([]);
    expect(await service.serverPids()).toEqual([]);
    await expect(readFile(join(service.repository, 'MAM/config.pbtxt'))).rejects.toThrow('ENOENT');
  });

  it('adds and removes a GPU while requests run, and none fails', async () => {
    await boot();
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    const answers: number[] = [];
    const changed = new AbortController();
    const requests = (async () => {
      while (!changed.signal.aborted) {
        answers.push((await service.infer('MAM', [1, 2, 3, 4])).status);
        await sleep(5);
      }
    })();
    expect((await service.start('MAM', 1)).body).toMatchObject({
      active_gpu_ids: [0, 1],
      total_instances: 16,
    });
    await service.untilRunning('MAM@0', 'MAM@1');
    expect((await service.stop('MAM', 0)).body).toMatchObject({ active_gpu_ids: [1], status: 'RUNNING' });
    changed.abort();
    await requests;
    expect(await service.placements()).toEqual(['MAM@1:RUNNING']);
    expect(answers.length).toBeGreaterThan(5);
    expect(new Set(answers)).toEqual(new Set([200]));
  });

  it('keeps serving where it serves when a further GPU fails, and that one can be stopped', async () => {
    await boot();
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    await service.writeModel('MAM', { load_seconds: 0.1, fail_load: 'no room' });
    await service.start('MAM', 1);
    await service.until(async () => {
      const { body } = await service.get<{ status: string }[]>('/api/v1/models/status/MAM');
      return body.map((item) => item.status).join() === 'RUNNING,ERROR';
    });
    expect((await service.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
    expect((await service.stop('MAM', 1)).body).toMatchObject({ status: 'RUNNING', active_gpu_ids: [0] });
    expect(await service.placements()).toEqual(['MAM@0:RUNNING']);
  });

  it('serves a model from a dedicated server', async () => {
    await boot({
      triton: {
        model_gpu_configs: { MAM: { use_dedicated_server: true }, default: { instances_per_gpu: 1 } },
      },
    });
    await service.start('MAM', 0);
    await service.start('FastFitAll', 0);
    await service.untilRunning('FastFitAll@0', 'MAM@0');
    const dedicated = await service.start('MAM', 0);
    const shared = await service.start('FastFitAll', 0);
    expect(shared.body.port).toBe(service.tritonPorts.http);
    expect(dedicated.body.port).not.toBe(shared.body.port);
    expect(dedicated.body.pid).not.toBe(shared.body.pid);
    expect((await service.stop('MAM', 0)).status).toBe(200);
    expect(await service.serverPids()).toEqual([shared.body.pid]);
  });
});

describe('many commands at once', () => {
  it('stops all models of a server together, while they load and while they run', async () => {
    const models = Object.fromEntries(
      ['A0', 'B0', 'C0', 'D0', 'E0', 'F0'].map((model) => [model, { load_seconds: 0.4 }]),
    );
    await boot({ models });
    for (const isRunning of [false, true, false]) {
      for (const model of Object.keys(models)) expect((await service.start(model, 0)).status).toBe(202);
      if (isRunning) await service.untilRunning(...Object.keys(models).map((model) => `${model}@0`));
      const stops = await Promise.all(Object.keys(models).map((model) => service.stop(model, 0)));
      expect(stops.map((stop) => [stop.status, stop.body.detail])).toEqual(stops.map(() => [200, undefined]));
      expect(await service.placements()).toEqual([]);
      expect(await service.serverPids()).toEqual([]);
    }
  });
});

describe('a read that is polled', () => {
  it.each(['/api/v1/models/status', '/api/v1/gpus'])(
    'has the bytes and headers that Express gives it: %s',
    async (path) => {
      await boot();
      await service.start('MAM', 0);
      await service.untilRunning('MAM@0');
      await service.until(async () => {
        // A slash at its end makes it a request that Express answers. What is read may change in between.
        const [polled, plain] = await Promise.all([path, `${path}/`].map((each) => wholeAnswer(each)));
        return isDeepStrictEqual(polled, plain);
      });
      const { headers } = await wholeAnswer(path);
      expect(headers).toMatchObject({ etag: expect.stringMatching(/^W/), 'x-request-id': 'same' });
    },
  );
});

async function wholeAnswer(path: string): Promise<{ headers: Record<string, string>; text: string }> {
  const response = await fetch(`http://127.0.0.1:${service.port}${path}`, {
    headers: { 'X-Request-Id': 'same' },
  });
  expect(response.status).toBe(200);
  const headers = { ...Object.fromEntries(response.headers), date: '' };
  return { headers, text: await response.text() };
}
