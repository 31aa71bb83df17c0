import { mkdir } from 'node:fs/promises';
import { Agent, request, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { glog } from '../../standin/tritonserver/log.js';
import { parseOptions } from '../../standin/tritonserver/options.js';
import { realPace } from '../../standin/tritonserver/pace.js';
import { BodyTooLarge, readBody } from '../../standin/tritonserver/request-body.js';
import { StandinServer, type Ports } from '../../standin/tritonserver/standin-server.js';
import { defaultSettings } from '../../standin/tritonserver/standin-settings.js';
import { ModelDirectory } from './model-directory.js';

const FLAGS = [
  ...['--model-control-mode=explicit', '--http-address=127.0.0.1', '--grpc-address=127.0.0.1'],
  ...['--metrics-address=127.0.0.1', '--exit-timeout-secs=1'],
];
const INPUT = { name: 'INPUT', shape: [4], datatype: 'FP32', data: [1, 2, 3, 4.5] };

describe('the stand-in over HTTP', () => {
  let models: ModelDirectory;
  let server: StandinServer;
  let ports: Ports;
  let lines: string[];

  const create = (...flags: string[]): StandinServer =>
    new StandinServer(parseOptions([...FLAGS, `--model-repository=${models.path}`, ...flags]), {
      visibleGpus: [0, 1],
      defaults: defaultSettings({}),
      pace: realPace,
      log: glog((line) => lines.push(line)),
    });

  /** A request on a connection of its own: `[status, JSON or text]`. */
  const call = async (method: string, path: string, body?: unknown): Promise<[number, unknown]> => {
    const sent = request({
      ...{ host: '127.0.0.1', port: ports.http, path, method },
      agent: new Agent({ keepAlive: false }),
    });
    sent.end(body === undefined || typeof body === 'string' ? body : JSON.stringify(body));
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    let text = '';
    for await (const chunk of response) text += String(chunk);
    const json = response.headers['content-type'] === 'application/json' && text;
    return [response.statusCode ?? 0, json ? JSON.parse(text) : text];
  };
  const load = (name: string): Promise<[number, unknown]> =>
    call('POST', `/v2/repository/models/${name}/load`);
  const index = async (): Promise<unknown> => (await call('POST', '/v2/repository/index'))[1];

  beforeEach(async () => {
    lines = [];
    models = await ModelDirectory.create();
    await models.write('MAM');
    server = create('--http-port=0', '--grpc-port=0', '--metrics-port=0');
    ports = await server.start();
  });

  afterEach(async () => {
    await server.stop();
    await models.remove();
  });

  it('never claims to be NVIDIA Triton', async () => {
    const [status, body] = await call('GET', '/v2');
    expect(status).toBe(200);
    expect(body).toMatchObject({ name: 'triton-standin', version: '0.0.0-standin' });
  });

  it('loads, tells of, runs and unloads a model', async () => {
    expect(await call('GET', '/v2/health/live')).toEqual([200, '']);
    expect(await index()).toEqual([{ name: 'MAM' }]);
    expect(await load('MAM')).toEqual([200, '']);
    expect(await call('GET', '/v2/models/MAM/ready')).toEqual([200, '']);
    expect(await call('GET', '/v2/models/MAM/versions/2/ready')).toMatchObject([400, {}]);
    expect(await call('GET', '/v2/models/MAM')).toMatchObject([200, { platform: 'python', versions: ['1'] }]);
    const [, config] = await call('GET', '/v2/models/MAM/config');
    expect(config).toMatchObject({
      instance_group: [{ name: 'MAM_0', kind: 'KIND_GPU', count: 1, gpus: [0] }],
    });
    expect(await call('POST', '/v2/models/MAM/infer', { id: 'a', inputs: [INPUT] })).toEqual([
      200,
      {
        ...{ id: 'a', model_name: 'MAM', model_version: '1' },
        outputs: [{ name: 'OUTPUT', datatype: 'FP32', shape: [4], data: [3, 5, 7, 10] }],
      },
    ]);
    expect(await call('GET', '/v2/models/MAM/stats')).toMatchObject([
      200,
      { model_stats: [{ inference_count: 1 }] },
    ]);

    expect(await call('POST', '/v2/repository/models/MAM/unload', '{ "ignored')).toEqual([200, '']);
    expect(await call('GET', '/v2/models/MAM/ready')).toEqual([400, '{"error":"Model version not ready"}']);
    expect(await call('GET', '/v2/models/MAM/stats')).toMatchObject([400, {}]);
    expect(await call('GET', '/v2/models/MAM')).toEqual([
      404,
      { error: "Request for unknown model: 'MAM' has no available versions" },
    ]);
  });

  it('is ready only while no model has failed', async () => {
    expect(await call('GET', '/v2/health/ready')).toEqual([200, '']);
    await models.writeFile('MAM', 'standin.json', '{ "load_second": 3 }');
    const [status, body] = await load('MAM');
    expect(status).toBe(400);
    expect((body as { error: string }).error).toContain('standin.json: unknown key "load_second"');
    expect(await call('GET', '/v2/health/ready')).toEqual([400, '']);
    await models.write('MAM');
    await load('MAM');
    expect(await call('GET', '/v2/health/ready')).toEqual([200, '']);
  });

  it('changes instances in place after config.pbtxt alone was written', async () => {
    await load('MAM');
    const before = server.lifecycle.serving('MAM');
    await models.writeConfig('MAM', '[ { count: 1 kind: KIND_GPU gpus: [ 0, 1 ] } ]');
    await load('MAM');
    expect(server.lifecycle.serving('MAM')).toBe(before);
    expect(before.config.instance_group[0]?.gpus).toEqual([0, 1]);
    await models.write('MAM');
    await load('MAM');
    expect(server.lifecycle.serving('MAM')).not.toBe(before);
  });

  it.each([
    ['a broken text', 'name: "MAM" [', 500],
    ['the name of another directory', 'name: "Other" backend: "python"', 500],
    ['a GPU that is not there', 'backend: "python" instance_group { kind: KIND_GPU gpus: 7 }', 400],
  ])('refuses config.pbtxt with %s', async (_, text, status) => {
    await models.writeFile('MAM', 'config.pbtxt', text);
    expect((await load('MAM'))[0]).toBe(status);
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
    await models.writeFile('MAM', 'config.pbtxt', text);
    expect(await load('MAM')).toEqual([
      500,
      { error: "failed to load 'MAM', failed to poll from model repository" },
    ]);
    expect(lines.join('\n')).toContain(words);
    if (text.includes('grup')) expect(lines.join('\n')).toMatch(/^\[libprotobuf ERROR .*"instance_grup"/m);
  });

  it('never takes a name from a request for a path', async () => {
    await mkdir(join(models.path, 'secret.d'));
    for (const name of ['..', '.', '..%2F..', '%2e%2e', 'MAM%00', 'secret.d%2F..']) {
      expect(await load(name)).toMatchObject([
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
    await load('MAM');
    const [answered, answer] = await call(method, path, body);
    expect(answered).toBe(status);
    expect((answer as { error: string }).error).toContain(error);
  });

  it('refuses a body over the limit before it arrives', async () => {
    const socket = connect(ports.http ?? 0, '127.0.0.1');
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
    expect(await call('GET', '/')).toEqual([404, '{"error":"Not Found"}']);
    expect(await call('GET', '/v2/models/MAM/nope')).toEqual([404, '{"error":"Not Found"}']);
  });

  it('goes on with a load whose client has gone', async () => {
    await models.write('MAM', { load_seconds: 0.05 });
    const socket = connect(ports.http ?? 0, '127.0.0.1');
    socket.write('POST /v2/repository/models/MAM/load HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n');
    // The second load is queued behind the first, so the first has arrived when the index says LOADING.
    while (!JSON.stringify(await index()).includes('LOADING')) continue;
    socket.destroy();
    await server.lifecycle.loadsDone();
    expect(await index()).toEqual([{ name: 'MAM', version: '1', state: 'READY' }]);
  });

  it('tells Prometheus of the models that serve', async () => {
    await load('MAM');
    await call('POST', '/v2/models/MAM/infer', { inputs: [INPUT] });
    const text = await (
      await fetch(`http://127.0.0.1:${ports.metrics ?? 0}/metrics`, { headers: { connection: 'close' } })
    ).text();
    expect(text).toContain('# TYPE nv_inference_request_success counter\n');
    expect(text).toContain('nv_inference_request_success{model="MAM",version="1"} 1\n');
    expect(text).toContain('nv_inference_pending_request_count{model="MAM",version="1"} 0\n');
  });

  it.each(['http', 'grpc', 'metrics'] as const)(
    'does not start where its %s port is taken',
    async (service) => {
      const others = ['http', 'grpc', 'metrics'].map(
        (name) => `--${name}-port=${name === service ? (ports[service] ?? 0) : 0}`,
      );
      const second = create(...others);
      await expect(second.start()).rejects.toThrow(
        `Unavailable - Socket '127.0.0.1:${ports[service] ?? 0}' already in use`,
      );
      await second.stop();
    },
  );

  it('loads at start what the command line names, and does not start where that fails', async () => {
    await models.write('Broken', { load_seconds: 0, fail_load: 'no' });
    const flags = ['--http-port=0', '--grpc-port=0', '--metrics-port=0', '--load-model=*'];
    const failing = create(...flags);
    await expect(failing.start()).rejects.toThrow("Invalid argument - load failed for model 'Broken'");
    const lenient = create(...flags, '--exit-on-error=false');
    await lenient.start();
    expect(lenient.lifecycle.isReady('MAM')).toBe(true);
    expect(await lenient.stop()).toBe(0);
  });

  it('answers what is in flight before it ends, and ends with 0', async () => {
    await models.write('MAM', { load_seconds: 0, unload_seconds: 0, infer_ms: 1000 });
    await load('MAM');
    const answer = call('POST', '/v2/models/MAM/infer', { inputs: [INPUT] });
    while (server.lifecycle.inFlight === 0) await index();
    const stopped = server.stop();
    expect((await answer)[0]).toBe(200);
    expect(await stopped).toBe(0);
    await expect(index()).rejects.toThrow('ECONNREFUSED');
  });

  it('ends with 1 at its exit timeout where a model does not go', async () => {
    await models.write('MAM', { load_seconds: 0, hang_unload: true });
    const impatient = create('--exit-timeout-secs=0', '--http-port=0', '--allow-grpc=0', '--allow-metrics=0');
    await impatient.start();
    await impatient.lifecycle.load('MAM');
    expect(await impatient.stop()).toBe(1);
  });

  it('waits for a quiet connection until its exit timeout, as Triton does', async () => {
    const socket = connect(ports.http ?? 0, '127.0.0.1');
    await once(socket, 'connect');
    let stopped = false;
    const stop = server.stop().then((code) => {
      stopped = true;
      return code;
    });
    socket.write('GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(String((await once(socket, 'data'))[0])).toContain('200 OK');
    expect(stopped).toBe(false);
    socket.destroy();
    expect(await stop).toBe(0);
  });
});
