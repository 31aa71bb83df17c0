import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { standinVllm } from '../fakes/vllm/standin-vllm.js';
import { processesOf } from '../support/processes.js';
import { ScriptedService } from '../support/scripted-service.js';
import { TestService } from '../support/service.js';

jest.setTimeout(60_000);

const cleanUp: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const each of cleanUp.splice(0).reverse()) await each();
});

/** What nobody wants is gone soon: the grace, and two looks, ms. */
const GRACE_MS = 1500;
const SOON = { orphans: { interval_seconds: 0.3, grace_seconds: 0.5 } };
const LATE = { orphans: { interval_seconds: 0.3, grace_seconds: 600 } };

type Runners = Record<string, Record<string, unknown>>;

const stateFile = (service: TestService): string => join(service.stateDir, 'desired-state.json');

/** The state makes no sense at the next boot. */
async function spoil(service: TestService): Promise<void> {
  await writeFile(stateFile(service), 'no');
}

/** There is none at the next boot. */
async function forget(service: TestService): Promise<void> {
  await rm(stateFile(service));
}

/** `MAM@0 RUNNING`, with `former` where the configuration does not have the model. */
async function shown(service: TestService): Promise<string[]> {
  const { body } =
    await service.get<{ model_name: string; gpu_id: number; status: string; in_catalog?: boolean }[]>(
      '/api/v1/models/status',
    );
  return body
    .map(
      ({ model_name: model, gpu_id: gpu, status, in_catalog: isKnown }) =>
        `${model}@${gpu} ${status}${isKnown === false ? ' former' : ''}`,
    )
    .sort();
}

async function untilShown(service: TestService, ...wanted: string[]): Promise<void> {
  await service.until(async () => (await shown(service)).join() === wanted.join());
}

/** `MAM`, or `m of vllm` of a whole server. */
async function orphans(service: TestService): Promise<string[]> {
  const { body } =
    await service.get<{ kind: string; model_type: string; models: string[] | null }[]>(
      '/api/v1/models/orphans',
    );
  return body
    .map(({ kind, model_type: type, models }) => `${String(models)}${kind === 'model' ? '' : ` of ${type}`}`)
    .sort();
}

/** It stays so until every grace is over. */
async function stays(service: TestService, ...wanted: string[]): Promise<void> {
  const calm = performance.now() + GRACE_MS;
  await service.until(async () => {
    expect(await shown(service)).toEqual(wanted);
    expect(await orphans(service)).toEqual([]);
    return performance.now() > calm;
  });
}

async function infers(service: TestService, model: string): Promise<boolean> {
  return (await service.infer(model, [1, 2, 3, 4])).status === 200;
}

describe('F14, F28: the state is lost, and the configuration has lost a model that serves', () => {
  async function served(config: Record<string, unknown>): Promise<TestService> {
    const service = await TestService.create({
      models: { MAM: { load_seconds: 0.1 }, Other: { load_seconds: 0.1 } },
      vllm: (ports) => standinVllm(ports, { m: { model: 'standin?load_ms=100' } }),
      config,
    });
    cleanUp.push(() => service.dispose());
    await service.boot();
    await service.start('MAM', 0);
    await service.start('Other', 1);
    await service.start('m', 3);
    await service.untilRunning('MAM@0', 'Other@1', 'm@3');
    await service.end('SIGKILL');
    return service;
  }

  const without = (runners: Runners): void => {
    Object.assign(runners.triton ?? {}, { supported_models: ['Other'] });
    Object.assign(runners.vllm ?? {}, { models: { n: { model: 'standin' } } });
  };

  it.each([
    ['the models of a section', without],
    [
      'a whole section',
      (runners: Runners) => {
        without(runners);
        delete runners.vllm;
      },
    ],
  ])(
    'a state that makes no sense, without %s: all that serves is taken up, and can be stopped',
    async (_what, edit) => {
      const service = await served(SOON);
      const pids = await service.serverPids();
      await spoil(service);
      await service.editRunners(edit);
      await service.boot();
      const all = ['MAM@0 RUNNING former', 'Other@1 RUNNING', 'm@3 RUNNING former'];
      await untilShown(service, ...all);
      await stays(service, ...all);
      expect(await service.serverPids()).toEqual(pids);
      expect((await service.stop('Other', 1)).status).toBe(200);
      expect(await infers(service, 'MAM')).toBe(true);
      for (const [model, gpu] of [
        ['MAM', 0],
        ['m', 3],
      ] as const) {
        expect(await service.stop(model, gpu)).toMatchObject({
          status: 200,
          body: { status: 'STOPPED', in_catalog: false },
        });
      }
      expect(await processesOf(service.stateDir)).toEqual([]);
    },
  );

  it('a stop at once of a model that only its server knows finds it', async () => {
    const service = await served(SOON);
    await spoil(service);
    await service.editRunners(without);
    await service.boot();
    const [mam, m, unknown] = await Promise.all([
      service.stop('MAM', 0),
      service.stop('m', 3),
      service.stop('Never', 0),
    ]);
    expect([mam.status, m.status]).toEqual([200, 200]);
    expect(unknown).toMatchObject({ status: 404, body: { code: 'MODEL_UNKNOWN' } });
    await untilShown(service, 'Other@1 RUNNING');
  });

  it('no state at all: what nobody wants is listed, with its model, before and after a neighbour', async () => {
    const service = await served(LATE);
    await forget(service);
    await service.editRunners((runners) => {
      without(runners);
      delete runners.vllm;
    });
    await service.boot();
    await service.until(async () => (await orphans(service)).join() === 'MAM,Other of triton,m of vllm');
    await service.start('Other', 1);
    await service.untilRunning('Other@1');
    await service.until(async () => (await orphans(service)).join() === 'MAM,m of vllm');
    // The neighbour goes; what nobody wants has its grace all the same.
    expect((await service.stop('Other', 1)).status).toBe(200);
    expect(await infers(service, 'MAM')).toBe(true);
    await service.until(async () => (await orphans(service)).join() === 'MAM of triton,m of vllm');
  });

  it('no state at all: what nobody wants is removed after the grace, by name in the log', async () => {
    const service = await served(SOON);
    await forget(service);
    await service.editRunners(without);
    await service.boot();
    await service.start('Other', 1);
    await service.untilRunning('Other@1');
    await service.until(async () => (await service.serverPids()).length === 1);
    await service.until(async () => !(await infers(service, 'MAM').catch(() => false)));
    expect(await shown(service)).toEqual(['Other@1 RUNNING']);
    expect(await infers(service, 'Other')).toBe(true);
    await service.until(() => Promise.resolve(/"model":"MAM".*An orphan was removed/.test(service.log)));
  });
});

describe('F14, F28: the state is lost, and so is the backend of a model that serves', () => {
  async function withoutHttp(
    config: Record<string, unknown>,
    lose: (service: TestService) => Promise<void>,
  ): Promise<TestService> {
    const scripted = await ScriptedService.boot({ scripted: { m: {} }, config });
    cleanUp.push(() => scripted.dispose());
    const { service } = scripted;
    await scripted.running('m', 0);
    await service.end('SIGKILL');
    await lose(service);
    await service.editRunners((runners) => {
      delete runners.http;
    });
    await service.boot();
    return service;
  }

  it('a state that makes no sense: it is taken up, and its death is said', async () => {
    const service = await withoutHttp(SOON, spoil);
    await untilShown(service, 'm@0 RUNNING former');
    await stays(service, 'm@0 RUNNING former');
    const [pid = 0] = await service.serverPids();
    process.kill(pid, 'SIGKILL');
    expect(await service.untilError('m')).toMatchObject({ code: 'MODEL_NOT_IN_CATALOG' });
    expect((await service.stop('m', 0)).status).toBe(200);
  });

  it('no state at all: it is an orphan', async () => {
    const service = await withoutHttp(LATE, forget);
    await service.until(async () => (await orphans(service)).join() === 'm of http');
  });
});
