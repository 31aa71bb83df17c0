import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { UnusableAnswerError } from '../../../src/common/http/http-client.js';
import { ComfyuiClient } from '../../../src/runners/comfyui/comfyui-client.js';

const signal = new AbortController().signal;
let server: Server;
let client: ComfyuiClient;
let answer: { status: number; body: string };
let requests: string[];

beforeEach(async () => {
  requests = [];
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      requests.push(`${request.method} ${request.url} ${body}`.trim());
      response.statusCode = answer.status;
      response.end(answer.body);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  client = new ComfyuiClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});

afterEach(() => {
  server.close();
});

function answers(status: number, body: unknown): void {
  answer = { status, body: typeof body === 'string' ? body : JSON.stringify(body) };
}

describe('what ComfyUI answers', () => {
  it('is read as far as it is needed', async () => {
    answers(200, {
      system: {},
      devices: [{ name: 'cpu', type: 'cpu', index: null, vram_total: 1, more: {} }],
    });
    expect(await client.device(signal)).toEqual({ name: 'cpu', type: 'cpu', vram_total: 1 });
    answers(200, { exec_info: { queue_remaining: 3 } });
    expect(await client.queueRemaining(signal)).toBe(3);
    expect(requests).toEqual(['GET /system_stats', 'GET /prompt']);
  });

  it.each([
    [200, '<html>'],
    [200, ''],
    [200, 'null'],
    [200, { devices: [] }],
    [200, { devices: [{ type: 'cuda' }] }],
    [200, { devices: { 0: { name: 'cpu', type: 'cpu' } } }],
    [200, { exec_info: { queue_remaining: -1 } }],
    [200, { exec_info: { queue_remaining: '3' } }],
    [404, { error: 'Not Found' }],
    [302, ''],
  ])('makes no sense: %s %j', async (status, body) => {
    answers(status, body);
    await expect(client.device(signal)).rejects.toBeInstanceOf(UnusableAnswerError);
    await expect(client.queueRemaining(signal)).rejects.toBeInstanceOf(UnusableAnswerError);
  });

  it('is a trouble of its own, which another try may not have', async () => {
    answers(500, 'RuntimeError: CUDA error: unspecified launch failure');
    const error: unknown = await client.device(signal).catch((reason: unknown) => reason);
    expect(error).not.toBeInstanceOf(UnusableAnswerError);
    expect(String(error)).toMatch(/answered 500: RuntimeError: CUDA error/);
  });
});

it('says what it wants done as ComfyUI has it', async () => {
  answers(200, '');
  await client.free(signal);
  await client.clearQueue(signal);
  await client.interrupt(signal);
  expect(requests).toEqual([
    'POST /free {"unload_models":true,"free_memory":true}',
    'POST /queue {"clear":true}',
    'POST /interrupt {}',
  ]);
  answers(500, '');
  await expect(client.free(signal)).rejects.toThrow(/answered 500/);
});
