import { mkdir } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { BodyTooLarge, readBody } from '../../standin/tritonserver/request-body.js';
import { INPUT, ServerRig } from './server-rig.js';

describe('the stand-in over HTTP', () => {
  let rig: ServerRig;

  beforeEach(async () => {
    rig = await ServerRig.create();
  });

  afterEach(() => rig.dispose());

  it('never claims to be NVIDIA Triton', async () => {
    const [status, body] = await rig.call('GET', '/v2');
    expect(status).toBe(200);
    expect(body).toMatchObject({ name: 'triton-standin', version: '0.0.0-standin' });
  });

  it('loads, tells of, runs and unloads a model', async () => {
    expect(await rig.call('GET', '/v2/health/live')).toEqual([200, '']);
    expect(await rig.index()).toEqual([{ name: 'MAM' }]);
    expect(await rig.load('MAM')).toEqual([200, '']);
    expect(await rig.call('GET', '/v2/models/MAM/ready')).toEqual([200, '']);
    expect(await rig.call('GET', '/v2/models/MAM/versions/2/ready')).toMatchObject([400, {}]);
    expect(await rig.call('GET', '/v2/models/MAM')).toMatchObject([
      200,
      { platform: 'python', versions: ['1'] },
    ]);
    const [, config] = await rig.call('GET', '/v2/models/MAM/config');
    expect(config).toMatchObject({
      instance_group: [{ name: 'MAM_0', kind: 'KIND_GPU', count: 1, gpus: [0] }],
    });
    expect(await rig.call('POST', '/v2/models/MAM/infer', { id: 'a', inputs: [INPUT] })).toEqual([
      200,
      {
        ...{ id: 'a', model_name: 'MAM', model_version: '1' },
        outputs: [{ name: 'OUTPUT', datatype: 'FP32', shape: [4], data: [3, 5, 7, 10] }],
      },
    ]);
    expect(await rig.call('GET', '/v2/models/MAM/stats')).toMatchObject([
      200,
      { model_stats: [{ inference_count: 1 }] },
    ]);

    expect(await rig.call('POST', '/v2/repository/models/MAM/unload', '{ "ignored')).toEqual([200, '']);
    expect(await rig.call('GET', '/v2/models/MAM/ready')).toEqual([
      400,
      '{"error":"Model version not ready"}',
    ]);
    expect(await rig.call('GET', '/v2/models/MAM/stats')).toMatchObject([400, {}]);
    expect(await rig.call('GET', '/v2/models/MAM')).toEqual([
      404,
      { error: "Request for unknown model: 'MAM' has no available versions" },
    ]);
  });

  it('is ready only while no model has failed', async () => {
    expect(await rig.call('GET', '/v2/health/ready')).toEqual([200, '']);
    await rig.models.writeFile('MAM', 'standin.json', '{ "load_second": 3 }');
    const [status, body] = await rig.load('MAM');
    expect(status).toBe(400);
    expect((body as { error: string }).error).toContain('standin.json: unknown key "load_second"');
    expect(await rig.call('GET', '/v2/health/ready')).toEqual([400, '']);
    await rig.models.write('MAM');
    await rig.load('MAM');
    expect(await rig.call('GET', '/v2/health/ready')).toEqual([200, '']);
  });

  it('changes instances in place after config.pbtxt alone was written', async () => {
    await rig.load('MAM');
    const before = rig.server.lifecycle.serving('MAM');
    await rig.models.writeConfig('MAM', '[ { count: 1 kind: KIND_GPU gpus: [ 0, 1 ] } ]');
    await rig.load('MAM');
    expect(rig.server.lifecycle.serving('MAM')).toBe(before);
    expect(before.config.instance_group[0]?.gpus).toEqual([0, 1]);
    await rig.models.write('MAM');
    await rig.load('MAM');
    expect(rig.server.lifecycle.serving('MAM')).not.toBe(before);
  });

  it.each([
    ['a broken text', 'name: "MAM" [', 500],
    ['the name of another directory', 'name: "Other" backend: "python"', 500],
    ['a GPU that is not there', 'backend: "python" instance_group { kind: KIND_GPU gpus: 7 }', 400],
  ])('refuses config.pbtxt with %s', async (_, text, status) => {
    await rig.models.writeFile('MAM', 'config.pbtxt', text);
    expect((await rig.load('MAM'))[0]).toBe(status);
  });

  it.each([
    [
      'an ensemble with instances',
      'platform: "ensemble" ensemble_scheduling { } instance_group [ { count: 1 } ]',
      "Poll failed for model directory 'MAM': instance group should not be specified for ensemble 'MAM'",
    ],
    [
      'an ensemble without steps',
      'platform: "ensemble"',
      "Poll failed for model directory 'MAM': ensemble scheduling must be set for ensemble MAM whose platform is ensemble",
    ],
    [
      'an ensemble that does not say that it is one',
      'ensemble_scheduling { }',
      "Poll failed for model directory 'MAM': Invalid model name: Could not determine backend for model 'MAM'",
    ],
    [
      'a field that there is not',
      'instance_grup [ { } ]',
      "Poll failed for model directory 'MAM': failed to read text proto from",
    ],
  ])('does not poll %s, and says in its log why', async (_what, text, words) => {
    await rig.models.writeFile('MAM', 'config.pbtxt', text);
    expect(await rig.load('MAM')).toEqual([
      500,
      { error: "failed to load 'MAM', failed to poll from model repository" },
    ]);
    expect(rig.lines.join('\n')).toContain(words);
    if (text.includes('grup'))
      expect(rig.lines.join('\n')).toMatch(/^\[libprotobuf ERROR .*"instance_grup"/m);
  });

  it('never takes a name from a request for a path', async () => {
    await mkdir(join(rig.models.path, 'secret.d'));
    for (const name of ['..', '.', '..%2F..', '%2e%2e', 'MAM%00', 'secret.d%2F..']) {
      expect(await rig.load(name)).toMatchObject([
        500,
        { error: expect.stringContaining('failed to poll') as string },
      ]);
    }
  });

  it.each<[string, string, unknown, number, string]>([
    ['GET', '/v2/repository/index', undefined, 405, 'Method Not Allowed'],
    ['POST', '/v2/repository/index', '{bad', 500, 'failed to parse the request JSON buffer'],
    ['POST', '/v2/repository/index', { ready: 'x' }, 500, 'attempt to access JSON non-boolean as boolean'],
    ['GET', '/v2/repository/models/MAM/load', undefined, 405, 'Method Not Allowed'],
    ['POST', '/v2/repository/models/MAM/load', '{bad', 500, 'failed to parse the request JSON buffer'],
    ['POST', '/v2/repository/models/MAM/load', { parameters: { config: '{}' } }, 501, 'without parameters'],
    ['POST', '/v2/models/Nope/infer', { inputs: [] }, 404, "unknown model: 'Nope' is not found"],
    ['POST', '/v2/models/MAM/infer', '{bad', 500, 'failed to parse'],
    ['POST', '/v2/models/MAM/infer', {}, 500, "Unable to parse 'inputs'"],
    ['POST', '/v2/models/MAM/infer', { inputs: [] }, 400, "missing required input(s) ['INPUT']"],
    ['POST', '/v2/models/MAM/infer', { inputs: [null] }, 500, "Unable to parse 'name'"],
    [
      'POST',
      '/v2/models/MAM/infer',
      { inputs: [{ ...INPUT, name: 'X' }] },
      400,
      "unexpected inference input 'X'",
    ],
    ['POST', '/v2/models/MAM/infer', { inputs: [{ ...INPUT, shape: [3] }] }, 500, 'true shape of'],
    [
      'POST',
      '/v2/models/MAM/infer',
      { inputs: [{ ...INPUT, shape: [2, 2] }] },
      400,
      'Expected [4], got [2,2]',
    ],
    ['POST', '/v2/models/MAM/infer', { inputs: [{ ...INPUT, datatype: 'INT32' }] }, 400, "expects 'FP32'"],
    ['POST', '/v2/models/MAM/infer', { inputs: [INPUT], outputs: [{ name: 'X' }] }, 400, "output 'X'"],
  ])('%s %s with %j: %d', async (method, path, body, status, error) => {
    await rig.load('MAM');
    const [answered, answer] = await rig.call(method, path, body);
    expect(answered).toBe(status);
    expect((answer as { error: string }).error).toContain(error);
  });

  it('refuses a body over the limit before it arrives', async () => {
    const socket = connect(rig.ports.http ?? 0, '127.0.0.1');
    socket.write('POST /v2/models/MAM/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n{');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(answer.toString()).toMatch(/^HTTP\/1.1 413 [^]*\{"error":"the request body is too large"\}$/);
    socket.destroy();
  });

  it('stops reading a body of unknown length at the limit', async () => {
    const body = Readable.from([Buffer.alloc(6), Buffer.alloc(6)]) as IncomingMessage;
    body.headers = {};
    await expect(readBody(body, 10)).rejects.toThrow(BodyTooLarge);
  });

  it('finds nothing on other paths', async () => {
    expect(await rig.call('GET', '/')).toEqual([404, '{"error":"Not Found"}']);
    expect(await rig.call('GET', '/v2/models/MAM/nope')).toEqual([404, '{"error":"Not Found"}']);
  });

  it('goes on with a load whose client has gone', async () => {
    await rig.models.write('MAM', { load_seconds: 0.05 });
    const socket = connect(rig.ports.http ?? 0, '127.0.0.1');
    socket.write('POST /v2/repository/models/MAM/load HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n');
    // The second load is queued behind the first, so the first has arrived when the index says LOADING.
    while (!JSON.stringify(await rig.index()).includes('LOADING')) continue;
    socket.destroy();
    await rig.server.lifecycle.loadsDone();
    expect(await rig.index()).toEqual([{ name: 'MAM', version: '1', state: 'READY' }]);
  });

  it('tells Prometheus of the models that serve', async () => {
    await rig.load('MAM');
    await rig.call('POST', '/v2/models/MAM/infer', { inputs: [INPUT] });
    const text = await (
      await fetch(`http://127.0.0.1:${rig.ports.metrics ?? 0}/metrics`, { headers: { connection: 'close' } })
    ).text();
    expect(text).toContain('# TYPE nv_inference_request_success counter\n');
    expect(text).toContain('nv_inference_request_success{model="MAM",version="1"} 1\n');
    expect(text).toContain('nv_inference_pending_request_count{model="MAM",version="1"} 0\n');
  });
});
