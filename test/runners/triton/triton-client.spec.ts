import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ModelLoadError } from '../../../src/runners/errors.js';
import { TritonClient, TritonProtocolError } from '../../../src/runners/triton/triton-client.js';

let server: Server;
let client: TritonClient;
let answer: { status: number; body: string };
let asked: string[];

beforeAll(async () => {
  server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    response.writeHead(answer.status).end(answer.body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  client = new TritonClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  asked = [];
});

const signal = () => AbortSignal.timeout(5000);
const says = (status: number, body: unknown = ''): void => {
  answer = { status, body: typeof body === 'string' ? body : JSON.stringify(body) };
};

const RUBBISH = ['', 'OK', '<html>', 'null', '{}', '[{"nome":"A"}]', '[1]', '"READY"', '{"error":"x"}'];

describe('the client of Triton', () => {
  it('asks what Triton documents', async () => {
    says(200, []);
    await client.isLive(signal());
    await client.isModelReady('A', signal());
    await client.indexOf('A', signal());
    await client.load('A', signal());
    await client.unload('A', signal());
    expect(asked).toEqual([
      'GET /v2/health/live',
      'GET /v2/models/A/ready',
      'POST /v2/repository/index',
      'POST /v2/repository/models/A/load',
      'POST /v2/repository/models/A/unload',
    ]);
  });

  it('never lets a name out of its place in a path', async () => {
    says(404);
    await client.isModelReady('../../x?y', signal());
    expect(asked).toEqual(['GET /v2/models/..%2F..%2Fx%3Fy/ready']);
  });

  it.each([
    [200, true],
    [400, false],
    [404, false],
    [503, false],
    [302, false],
  ])('takes %d for ready: %s', async (status, ready) => {
    says(status);
    await expect(client.isModelReady('A', signal())).resolves.toBe(ready);
    await expect(client.isLive(signal())).resolves.toBe(ready);
  });

  it('knows the rows of one model', async () => {
    says(200, [
      { name: 'A', version: '1', state: 'READY' },
      { name: 'A', version: '2', state: 'UNAVAILABLE', reason: 'unloaded' },
      { name: 'AB', version: '1', state: 'READY' },
      { name: 'never loaded' },
    ]);
    await expect(client.indexOf('A', signal())).resolves.toHaveLength(2);
    await expect(client.indexOf('never loaded', signal())).resolves.toEqual([{ name: 'never loaded' }]);
    await expect(client.indexOf('B', signal())).resolves.toEqual([]);
  });

  it.each(RUBBISH)('takes an index of %j for no index', async (body) => {
    says(200, body);
    await expect(client.indexOf('A', signal())).rejects.toThrow(TritonProtocolError);
  });

  it('takes an index with another status for no index', async () => {
    says(405, { error: 'method not allowed' });
    await expect(client.indexOf('A', signal())).rejects.toThrow('the index answered 405: method not allowed');
  });

  it('knows the instances a model serves with; protobuf leaves out what is zero', async () => {
    says(200, { name: 'A', instance_group: [{ name: 'gpu_0', count: 2, kind: 'KIND_GPU', gpus: [0] }, {}] });
    await expect(client.modelConfig('A', signal())).resolves.toEqual({
      platform: '',
      instance_group: [
        { name: 'gpu_0', count: 2, kind: 'KIND_GPU', gpus: [0] },
        { name: '', count: 1, kind: '', gpus: [] },
      ],
      ensemble_scheduling: { step: [] },
    });
    says(200, {});
    await expect(client.modelConfig('A', signal())).resolves.toEqual({
      platform: '',
      instance_group: [],
      ensemble_scheduling: { step: [] },
    });
    says(200, { ensemble_scheduling: { step: [{ model_name: 'B', model_version: -1 }] } });
    await expect(client.modelConfig('A', signal())).resolves.toMatchObject({
      ensemble_scheduling: { step: [{ model_name: 'B' }] },
    });
    says(404, { error: 'unknown model' });
    await expect(client.modelConfig('A', signal())).resolves.toBeUndefined();
  });

  it.each(['', 'null', '[]', '{"instance_group":1}', '{"instance_group":[{"count":"2"}]}'])(
    'takes a configuration of %j for none',
    async (body) => {
      says(200, body);
      await expect(client.modelConfig('A', signal())).rejects.toThrow(TritonProtocolError);
    },
  );

  it.each([
    [
      'in its own words',
      400,
      { error: "failed to load 'A', no version is available" },
      "failed to load 'A', no version is available",
    ],
    ['in other words', 500, 'out of memory', 'out of memory'],
    ['in another form', 500, { message: 'x' }, '{"message":"x"}'],
    ['without a word', 503, '', 'status 503, no words'],
  ])('says why a load failed, %s', async (_name, status, body, words) => {
    says(status, body);
    await expect(client.load('A', signal())).rejects.toThrow(
      new ModelLoadError(`Triton could not load A: ${words}`),
    );
    await expect(client.unload('A', signal())).rejects.toThrow(`the unload answered ${status}: ${words}`);
  });

  it('repeats no more of an error than a person reads', async () => {
    says(400, { error: 'x'.repeat(100_000) });
    const error = await client.load('A', signal()).catch((thrown: unknown) => thrown);
    expect(String(error).length).toBeLessThan(5000);
  });
});
