import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { TestService } from '../support/service.js';

const MAM = { model_name: 'MAM', gpu_id: 0 };

let service: TestService;
let victim: ChildProcess | undefined;

beforeAll(async () => {
  service = await TestService.create();
  await service.boot();
  await service.start('MAM', 0);
  await service.untilRunning('MAM@0');
});

afterAll(async () => {
  victim?.kill('SIGKILL');
  await service.dispose();
});

beforeEach(async () => {
  if (victim?.exitCode === null && victim.signalCode === null) return;
  victim = spawn('sleep', ['600'], { stdio: 'ignore' });
  await once(victim, 'spawn');
});

const post = (verb: string, body: object, query = '') =>
  service.call('POST', `/api/v1/models/${verb}${query}`, body);
const end = (query: string, body?: object | string, headers?: Record<string, string>) =>
  service.call('DELETE', `/api/v1/processes/${victim?.pid}${query}`, body, headers);

/** Nothing was ended, started or stopped. */
async function expectUntouched(): Promise<void> {
  expect(victim?.signalCode).toBeNull();
  expect(victim?.exitCode).toBeNull();
  expect(await service.placements()).toEqual(['MAM@0:RUNNING']);
}

describe('F46: a write with a query parameter that it does not know', () => {
  it.each([
    'dryrun=true',
    'dry_run[]=true',
    'dry_run[0]=true',
    'DRY_RUN=true',
    'Dry_Run=true',
    'dry-run=true',
    'dryRun=true',
    'dry_rn',
    '%64ryrun=true',
    'dry_run%20=true',
    'dry_run=true&dryrun=true',
    'dry_run=false&DRY_RUN=true',
  ])('ends no process for ?%s, and names the nearest', async (query) => {
    const { status, body } = await end(`?${query}`);
    expect({ status, code: body.code }).toEqual({ status: 400, code: 'VALIDATION_FAILED' });
    expect(body.detail).toMatch(/ is no query parameter of this request: is dry_run meant\?$/);
    await expectUntouched();
  });

  it.each(['force=true', 'x', '=true'])('ends no process for ?%s, and names what there is', async (query) => {
    const { status, body } = await end(`?${query}`);
    expect({ status, code: body.code }).toEqual({ status: 400, code: 'VALIDATION_FAILED' });
    expect(body.detail).toContain('dry_run');
    await expectUntouched();
  });

  it.each(['dry_run=true&dry_run=false', 'dry_run=false&dry_run=false', 'dry_run=true&dry_run=true'])(
    'nor does it choose of several: ?%s',
    async (query) => {
      expect((await end(`?${query}`)).status).toBe(400);
      await expectUntouched();
    },
  );

  it.each([
    ['stop', 'drain_seconds=30', 'is the field of the body drain_seconds meant?'],
    ['stop', 'dry_run=true', 'it takes none'],
    ['start', 'dry_run=true', 'it takes none'],
    ['sleep', 'level=2', 'is the field of the body level meant?'],
    ['wake', 'x=1', 'it takes none'],
    ['plan', 'gpu=1', 'it takes none'],
  ])('changes nothing: POST %s?%s', async (verb, query, words) => {
    const { status, body } = await post(verb, MAM, `?${query}`);
    expect({ status, code: body.code }).toEqual({ status: 400, code: 'VALIDATION_FAILED' });
    expect(body.detail).toContain(words);
    await expectUntouched();
  });

  it('reads stay as they are', async () => {
    for (const path of ['/api/v1/models/status?stat=ERROR', '/api/v1/gpus?x=1&x=2', '/health/ready?_=1'])
      expect((await service.get(path)).status).toBe(200);
  });
});

describe('F46: a write with a field that it does not know', () => {
  it.each<[verb: string, field: object, meant: string]>([
    ['stop', { drain_second: 30 }, 'drain_seconds'],
    ['stop', { drainSeconds: 30 }, 'drain_seconds'],
    ['stop', { forced: true }, 'force'],
    ['stop', { gpuuuid: 'GPU-1' }, 'gpu_uuid'],
    ['stop', { FORCE: false }, 'force'],
    ['start', { confg: {} }, 'config'],
    ['plan', { Config: {} }, 'config'],
    ['sleep', { levle: 2 }, 'level'],
    ['wake', { gpuid: 0 }, 'gpu_id'],
  ])('changes nothing: POST %s %j', async (verb, field, meant) => {
    const { status, body } = await post(verb, { ...MAM, ...field });
    expect({ status, code: body.code }).toEqual({ status: 400, code: 'VALIDATION_FAILED' });
    const [name] = Object.keys(field);
    expect(body.detail).toBe(
      `Invalid request: ${name} is no field of the body of this request: is ${meant} meant?`,
    );
    await expectUntouched();
  });

  it('names all that there is, where none is like it', async () => {
    const { body } = await post('wake', { ...MAM, colour: 'red' });
    expect(body.detail).toContain('it takes model_name, gpu_id, model_type');
    await expectUntouched();
  });

  it('in a body that no route reads', async () => {
    for (const body of [{ dry_run: true }, { x: 1 }, '[true]', '[]']) {
      expect((await end('', body)).status).toBe(400);
    }
    const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
    expect((await end('', 'dry_run=true', form)).status).toBe(400);
    expect((await service.call('POST', '/api/v1/gpus/1/uncordon', { reason: 'x' })).status).toBe(400);
    expect((await service.call('POST', '/api/v1/gpus/1/cordon', { raeson: 'x' })).body.detail).toContain(
      'is reason meant?',
    );
    await expectUntouched();
  });

  it('is short, whatever came', async () => {
    const many = Object.fromEntries(Array.from({ length: 3000 }, (_, at) => [`${at}${'x'.repeat(9)}`, 1]));
    const { status, body } = await post('stop', { ...MAM, ...many });
    expect(status).toBe(400);
    expect(String(body.detail).length).toBeLessThan(1000);
    await expectUntouched();
  });

  it('an empty body is none', async () => {
    expect((await service.call('POST', '/api/v1/gpus/1/uncordon', {})).status).toBe(200);
    expect((await service.call('POST', '/api/v1/gpus/1/uncordon')).status).toBe(200);
    expect((await end('?dry_run=true', {})).body).toMatchObject({ status: 'dry_run' });
    await expectUntouched();
  });
});

describe('F46: model_type, which older clients send', () => {
  it.each(['start', 'plan', 'stop', 'sleep', 'wake'])(
    'is held against the catalog by POST %s',
    async (verb) => {
      const { status, body } = await post(verb, { ...MAM, model_type: 'comfyui' });
      expect({ status, code: body.code }).toEqual({ status: 400, code: 'MODEL_TYPE_MISMATCH' });
      expect(body.detail).toContain('triton');
      expect(await post(verb, { ...MAM, model_type: 5 })).toMatchObject({
        status: 400,
        body: { code: 'VALIDATION_FAILED' },
      });
      await expectUntouched();
    },
  );

  it('says nothing of a model that there is not', async () => {
    for (const [verb, status] of [
      ['start', 400],
      ['stop', 404],
    ] as const) {
      const answer = await post(verb, { model_name: 'MAN', gpu_id: 0, model_type: 'triton' });
      expect(answer).toMatchObject({ status, body: { code: 'MODEL_UNKNOWN' } });
    }
  });

  it('is taken where it agrees', async () => {
    const typed = { ...MAM, model_type: 'triton' };
    expect((await post('plan', typed)).status).toBe(200);
    expect((await post('stop', typed)).status).toBe(200);
    expect((await post('start', typed)).status).toBe(202);
    await service.untilRunning('MAM@0');
    expect((await post('start', { ...MAM, model_type: null })).status).toBe(202);
    expect((await post('stop', { ...MAM, model_type: null })).status).toBe(200);
  });
});
