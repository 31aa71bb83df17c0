import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { connect } from 'node:net';
import { readdir } from 'node:fs/promises';
import { TestService } from '../support/service.js';

let service: TestService;

beforeAll(async () => {
  service = await TestService.create();
  await service.boot();
});

afterAll(() => service.dispose());

const START = '/api/v1/models/start';
const STOP = '/api/v1/models/stop';

/** Every answer to bad input has this form, and nothing else. */
function expectRefusal(answer: { status: number; body: unknown }, status: number): void {
  expect(answer).toEqual({
    status,
    body: { detail: expect.any(String), code: expect.stringMatching(/^[A-Z][A-Z_]+$/) },
  });
}

const MALFORMED: [string, string][] = [
  ['an empty object', '{}'],
  ['no gpu_id', '{"model_name":"MAM"}'],
  ['no model_name', '{"gpu_id":0}'],
  ['a null name', '{"model_name":null,"gpu_id":0}'],
  ['a null GPU', '{"model_name":"MAM","gpu_id":null}'],
  ['a number as name', '{"model_name":5,"gpu_id":0}'],
  ['a list as name', '{"model_name":["MAM"],"gpu_id":0}'],
  ['an empty name', '{"model_name":"","gpu_id":0}'],
  ['a negative GPU', '{"model_name":"MAM","gpu_id":-1}'],
  ['a fraction of a GPU', '{"model_name":"MAM","gpu_id":0.5}'],
  ['a GPU as text', '{"model_name":"MAM","gpu_id":"0"}'],
  ['a GPU as boolean', '{"model_name":"MAM","gpu_id":true}'],
  ['a GPU beyond numbers', '{"model_name":"MAM","gpu_id":1e309}'],
  ['a huge GPU', '{"model_name":"MAM","gpu_id":9007199254740993}'],
  ['a huge name', JSON.stringify({ model_name: 'x'.repeat(10_000), gpu_id: 0 })],
  ['broken JSON', '{"model_name":'],
  ['an empty body', ''],
  ['a list', '[]'],
  ['a string', '"MAM"'],
  ['null', 'null'],
  ['a path as name', '{"model_name":"../../etc","gpu_id":0}'],
];

describe.each([START, STOP])('POST %s', (path) => {
  it.each(MALFORMED.filter(([what]) => what !== 'a path as name'))('refuses %s', async (_what, body) => {
    expectRefusal(await service.call('POST', path, body), 400);
  });

  it('says that broken JSON is broken', async () => {
    const { body } = await service.call('POST', path, '{"model_name":');
    expect(body).toMatchObject({
      code: 'INVALID_JSON',
      detail: expect.stringMatching(/^The request body is not/),
    });
  });

  it('refuses another content type', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/xml']) {
      const answer = await service.call('POST', path, '{"model_name":"MAM","gpu_id":0}', {
        'Content-Type': type,
      });
      expectRefusal(answer, 400);
    }
  });

  it('refuses a body over the limit', async () => {
    const body = JSON.stringify({ model_name: 'MAM', gpu_id: 0, filler: 'x'.repeat(70_000) });
    expectRefusal(await service.call('POST', path, body), 413);
  });
});

describe('StartRequest.config', () => {
  it.each([
    ['a list', '[]', 'config'],
    ['a string', '"x"', 'config'],
    ['a number', '5', 'config'],
    ['an unknown key', '{"instances":1}', 'instances'],
    ['a wrong type', '{"instances_per_gpu":"8"}', 'instances_per_gpu'],
    ['zero instances', '{"instances_per_gpu":0}', 'instances_per_gpu'],
    ['too many instances', '{"instances_per_gpu":1e9}', 'instances_per_gpu'],
    ['a fraction', '{"instances_per_gpu":1.5}', 'instances_per_gpu'],
    ['null for a number', '{"instances_per_gpu":null}', 'instances_per_gpu'],
    ['a prototype', '{"__proto__":{"instances_per_gpu":2}}', '__proto__'],
    ['a constructor', '{"constructor":{}}', 'constructor'],
  ])('refuses %s and names the key', async (_what, config, key) => {
    const answer = await service.call('POST', START, `{"model_name":"MAM","gpu_id":0,"config":${config}}`);
    expectRefusal(answer, 400);
    expect((answer.body as { detail: string }).detail).toContain(key);
  });
});

describe('names that are no models', () => {
  const NAMES = [
    '../../etc',
    'MAM/../x',
    'MAM\0',
    'MAM\n',
    '.',
    '..',
    '/etc/passwd',
    '$(id)',
    'mam',
    '__proto__',
    'constructor',
  ];

  it.each(NAMES)('%j is refused', async (name) => {
    expectRefusal(await service.start(name, 0), 400);
    expectRefusal(await service.stop(name, 0), 404);
    // A URL with a dot segment never leaves the client as such.
    if (/^\.+$/.test(name)) return;
    expectRefusal(await service.get(`/api/v1/models/status/${encodeURIComponent(name)}`), 404);
  });

  it('a path that cannot be decoded is refused', async () => {
    expectRefusal(await service.get('/api/v1/models/status/%E0%A4%A'), 400);
  });
});

describe('what is not there', () => {
  it('a GPU', async () => {
    const answer = await service.start('MAM', 4);
    expectRefusal(answer, 400);
    expect(answer.body.detail).toMatch(/^CUDA device not found/);
  });

  it('a placement', async () => {
    expectRefusal(await service.stop('MAM', 0), 404);
    expectRefusal(await service.get('/api/v1/models/status/MAM'), 404);
  });

  it.each([
    ['GET', '/nope'],
    ['POST', '/nope'],
    ['GET', '/api/v2/gpus'],
    ['DELETE', '/api/v1/models'],
    ['GET', '/api/v1/models/start/MAM'],
  ])('%s %s', async (method, path) => {
    expectRefusal(await service.call(method, path), 404);
  });
});

describe('a method that a path does not take', () => {
  it.each([
    ['GET', '/api/v1/models/start', 'POST'],
    ['PUT', '/api/v1/models/status', 'GET, HEAD'],
    ['POST', '/api/v1/models/status/MAM', 'GET, HEAD'],
    ['DELETE', '/api/v1/gpus', 'GET, HEAD'],
    ['GET', '/api/v1/gpus/0/cordon', 'POST'],
    ['GET', '/api/v1/processes/4194304', 'DELETE'],
    ['POST', '/api/v1/processes/4194304', 'DELETE'],
    ['PATCH', '/', 'GET, HEAD'],
    ['POST', '/health/ready', 'GET, HEAD'],
    ['POST', '/openapi.json', 'GET, HEAD'],
  ])('%s %s is told which it takes', async (method, path, allow) => {
    expectRefusal(await service.call(method, path), 405);
    const response = await fetch(`http://127.0.0.1:${service.port}${path}`, { method });
    expect(response.headers.get('Allow')).toBe(allow);
    expect(await response.json()).toMatchObject({
      code: 'METHOD_NOT_ALLOWED',
      detail: expect.stringContaining(`it takes ${allow}.`),
    });
  });
});

describe('pids that are none', () => {
  it.each([
    '0',
    '-1',
    '-5',
    '1.5',
    '1e3',
    '0x10',
    '+5',
    'abc',
    '99999999999',
    '4194305',
    '%00',
    '%20',
    '5%0a',
  ])('%s is refused', async (pid) => {
    expectRefusal(await service.call('DELETE', `/api/v1/processes/${pid}`), 400);
  });

  it('a pid that nobody has is 404', async () => {
    expectRefusal(await service.call('DELETE', '/api/v1/processes/4194304'), 404);
  });
});

describe('after all that', () => {
  it('survives a request that is no HTTP', async () => {
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(service.port, '127.0.0.1', () => socket.end('NONSENSE\r\n\r\n'));
      let text = '';
      socket.on('data', (chunk) => (text += chunk.toString()));
      socket.on('close', () => {
        resolve(text);
      });
      socket.on('error', reject);
    });
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(JSON.parse(answer.slice(answer.indexOf('{')))).toMatchObject({ code: 'BAD_REQUEST' });
  });

  it('nothing has changed and nothing was started', async () => {
    expect(await service.placements()).toEqual([]);
    expect(await service.serverPids()).toEqual([]);
    expect((await readdir(service.repository)).sort()).toEqual(['FastFitAll', 'MAM']);
    expect(await readdir(`${service.repository}/MAM`)).not.toContain('config.pbtxt');
    expect((await service.get('/')).status).toBe(200);
  });
});
