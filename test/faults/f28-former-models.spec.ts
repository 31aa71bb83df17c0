import { afterEach, describe, expect, it } from '@jest/globals';
import { processesOf } from '../support/processes.js';
import { ScriptedService } from '../support/scripted-service.js';
import { TestService } from '../support/service.js';

const cleanUp: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const each of cleanUp.splice(0).reverse()) await each();
});

/** What nobody wants is gone soon: the grace, and a look, ms. */
const GRACE_MS = 2500;
const ORPHANS = { orphans: { interval_seconds: 0.3, grace_seconds: 1 } };

interface Item {
  readonly model_name: string;
  readonly model_type: string;
  readonly status: string;
  readonly in_catalog?: boolean;
}

async function items(service: TestService, path = ''): Promise<Item[]> {
  return (await service.get<Item[]>(`/api/v1/models/status${path}`)).body;
}

/** It serves, is said to be out of the configuration, and nobody takes it for an orphan. */
async function servesOutOfCatalog(service: TestService, model: string): Promise<void> {
  const isThere = async (): Promise<boolean> =>
    (await items(service)).some(
      (item) => item.model_name === model && item.in_catalog === false && item.status === 'RUNNING',
    );
  await service.until(isThere);
  const calm = performance.now() + GRACE_MS;
  await service.until(async () => {
    expect(await isThere()).toBe(true);
    expect((await service.get('/api/v1/models/orphans')).body).toEqual([]);
    return performance.now() > calm;
  });
}

describe('F28: a model of Triton is taken out of the configuration while it serves', () => {
  async function withoutMam(): Promise<TestService> {
    const service = await TestService.create({
      models: { MAM: { load_seconds: 0.1 }, Other: { load_seconds: 0.1 } },
      config: ORPHANS,
    });
    cleanUp.push(() => service.dispose());
    await service.boot();
    await service.start('MAM', 0);
    await service.start('Other', 1);
    await service.untilRunning('MAM@0', 'Other@1');
    await service.end('SIGKILL');
    await service.configure({ runners: { triton: { supported_models: ['Other'] } } });
    await service.boot();
    return service;
  }

  it('it serves on beside the others, in the status and on its GPU, until it is stopped', async () => {
    const service = await withoutMam();
    await servesOutOfCatalog(service, 'MAM');
    expect(await items(service, '/MAM')).toMatchObject([{ in_catalog: false, model_type: 'triton' }]);
    expect(await items(service, '/Other')).toEqual([expect.not.objectContaining({ in_catalog: false })]);
    const gpus = await service.get<{ id: number; occupants?: unknown }[]>('/api/v1/gpus');
    expect(JSON.stringify(gpus.body)).toContain('MAM');
    expect((await service.get('/api/v1/models/supported')).body).toEqual(
      expect.not.objectContaining({ MAM: 'triton' }),
    );
    for (const gpu of [0, 2]) {
      expect(await service.start('MAM', gpu)).toMatchObject({ status: 400, body: { code: 'MODEL_UNKNOWN' } });
    }
    // The server stays with it when its neighbour goes.
    expect((await service.stop('Other', 1)).status).toBe(200);
    expect((await service.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
    expect(await service.stop('MAM', 0)).toMatchObject({
      status: 200,
      body: { status: 'STOPPED', in_catalog: false },
    });
    expect(await processesOf(service.stateDir)).toEqual([]);
    expect(await service.stop('MAM', 0)).toMatchObject({ status: 404, body: { code: 'MODEL_UNKNOWN' } });
    expect((await service.get('/api/v1/models/status/MAM')).status).toBe(404);
  });

  it.each(['cpu', 'model', 'auto'])('of kind %s, too, with all that was set for it', async (kind) => {
    const service = await TestService.create({
      models: { MAM: { load_seconds: 0.1 }, Other: { load_seconds: 0.1 } },
      triton: { model_gpu_configs: { MAM: { kind } } },
      config: { ...ORPHANS, health: { fast_interval_ms: 50, slow_interval_ms: 100 } },
    });
    cleanUp.push(() => service.dispose());
    await service.boot();
    await service.start('MAM', 0);
    if (kind !== 'auto') await service.start('MAM', 1);
    const placements = kind === 'auto' ? ['MAM@0'] : ['MAM@0', 'MAM@1'];
    await service.untilRunning(...placements);
    await service.end('SIGKILL');
    await service.configure({ runners: { triton: { supported_models: ['Other'], model_gpu_configs: {} } } });
    await service.boot();
    await servesOutOfCatalog(service, 'MAM');
    expect(await service.loadsOf('MAM')).toBe(placements.length);
    expect((await service.stop('MAM', 0)).status).toBe(200);
    if (kind === 'auto') return;
    await service.untilRunning('MAM@1');
    expect((await service.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
  });

  it('when its server dies, that is said; its neighbour is brought back', async () => {
    const service = await withoutMam();
    await service.untilRunning('MAM@0', 'Other@1');
    const [pid = 0] = await service.serverPids();
    process.kill(pid, 'SIGKILL');
    expect(await service.untilError('MAM')).toMatchObject({
      code: 'MODEL_NOT_IN_CATALOG',
      message: expect.stringContaining('Stop it; or put it back'),
    });
    expect(service.log).toContain('MAM on GPU 0: STARTING → ERROR');
    await service.untilRunning('Other@1');
    // It stays so over a restart; put back, it can be started.
    await service.end('SIGKILL');
    await service.configure({ runners: { triton: { supported_models: ['Other', 'MAM'] } } });
    await service.boot();
    expect(await items(service, '/MAM')).toEqual([expect.objectContaining({ status: 'ERROR' })]);
    expect((await service.start('MAM', 0)).status).toBe(202);
    await service.untilRunning('MAM@0', 'Other@1');
  });

  it('put back while it serves, it is a model like any other', async () => {
    const service = await withoutMam();
    await service.untilRunning('MAM@0', 'Other@1');
    const [pid = 0] = await service.serverPids();
    await service.end('SIGKILL');
    await service.configure({ runners: { triton: { supported_models: ['Other', 'MAM'] } } });
    await service.boot();
    await service.untilRunning('MAM@0', 'Other@1');
    expect(JSON.stringify(await items(service))).not.toContain('in_catalog');
    process.kill(pid, 'SIGKILL');
    await service.until(async () => (await service.serverPids()).some((each) => each !== pid));
    await service.untilRunning('MAM@0', 'Other@1');
  });
});

describe('F28: a backend goes while a model of it serves', () => {
  async function scriptedWithout(
    edit: (runners: Record<string, Record<string, unknown>>) => void,
  ): Promise<ScriptedService> {
    const scripted = await ScriptedService.boot({ scripted: { m: {} }, config: ORPHANS });
    cleanUp.push(() => scripted.dispose());
    await scripted.running('m', 0);
    await scripted.service.end('SIGKILL');
    await scripted.service.editRunners(edit);
    await scripted.service.boot();
    return scripted;
  }

  it.each([
    [
      'its section is removed',
      (runners: Record<string, unknown>) => {
        delete runners.http;
      },
    ],
    [
      'it is switched off',
      (runners: Record<string, unknown>) => {
        runners.http = { ...(runners.http as object), enabled: false };
      },
    ],
  ])('%s: it serves on, and can be stopped, by force, too', async (_name, edit) => {
    const { service } = await scriptedWithout(edit);
    await servesOutOfCatalog(service, 'm');
    expect((await service.get<Record<string, string>>('/api/v1/models/supported')).body.m).toBeUndefined();
    expect(await service.stop('m', 0, { force: true })).toMatchObject({ status: 200 });
    expect(await processesOf(service.stateDir)).toEqual([]);
    expect(await service.placements()).toEqual([]);
  });

  it('its process can be ended over the API, and its death by itself is said', async () => {
    const scripted = await scriptedWithout((runners) => {
      delete runners.http;
    });
    const { service } = scripted;
    await servesOutOfCatalog(service, 'm');
    const [launch] = await scripted.launches('m', 0);
    const ended = await service.call('DELETE', `/api/v1/processes/${launch?.pid}`);
    expect(ended).toMatchObject({ status: 200, body: { placements: ['m@0'] } });
    expect(await service.errorOf('m')).toMatchObject({ code: 'ENDED_OVER_API' });
    expect((await service.stop('m', 0)).status).toBe(200);
  });

  it('it moves to another backend: it serves on in the old one until it is stopped', async () => {
    const service = await TestService.create({
      models: { MAM: { load_seconds: 0.1 }, Other: { load_seconds: 0.1 } },
      config: ORPHANS,
    });
    cleanUp.push(() => service.dispose());
    await service.boot();
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    await service.end('SIGKILL');
    await service.editRunners((runners) => {
      Object.assign(runners.triton ?? {}, { supported_models: ['Other'] });
      runners.comfyui = { supported_models: ['MAM'] };
    });
    await service.boot();
    await servesOutOfCatalog(service, 'MAM');
    expect(await service.start('MAM', 0)).toMatchObject({ status: 409, body: { code: 'BACKEND_CHANGED' } });
    expect((await service.stop('MAM', 0)).status).toBe(200);
    expect(await processesOf(service.stateDir)).toEqual([]);
    expect(await service.start('MAM', 0)).toMatchObject({ body: { code: 'COMFYUI_NOT_CONFIGURED' } });
  });
});
