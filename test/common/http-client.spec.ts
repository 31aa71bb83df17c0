import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { UnusableAnswerError, callHttp } from '../../src/common/http/http-client.js';

let server: Server;
let url: string;
let answer: (request: IncomingMessage, response: ServerResponse) => void;

beforeAll(async () => {
  server = createServer((request, response) => {
    answer(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/path`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const get = (options: { maxBytes?: number; signal?: AbortSignal } = {}) =>
  callHttp({ method: 'GET', url, signal: AbortSignal.timeout(5000), ...options });

describe('a call to a backend', () => {
  it('brings status and body', async () => {
    answer = (_request, response) => response.writeHead(418).end('I am');
    await expect(get()).resolves.toEqual({ status: 418, body: 'I am' });
  });

  it('sends its body as JSON, of the right length in bytes', async () => {
    answer = (request, response) => {
      void request.toArray().then((chunks: Buffer[]) => {
        const { 'content-type': type, 'content-length': length } = request.headers;
        response.end(`${request.method} ${type} ${length} ${Buffer.concat(chunks).toString()}`);
      });
    };
    const call = callHttp({ method: 'POST', url, body: { a: '模型' }, signal: AbortSignal.timeout(5000) });
    await expect(call).resolves.toMatchObject({ body: 'POST application/json 14 {"a":"模型"}' });
  });

  it('has a connection of its own', async () => {
    const ports = new Set<number | undefined>();
    answer = (request, response) => {
      ports.add(request.socket.remotePort);
      response.end(request.headers.connection);
    };
    await expect(get()).resolves.toMatchObject({ body: 'close' });
    await get();
    expect(ports.size).toBe(2);
  });

  it('follows no redirect', async () => {
    let calls = 0;
    answer = (_request, response) => {
      calls += 1;
      response.writeHead(302, { Location: '/elsewhere' }).end();
    };
    await expect(get()).resolves.toMatchObject({ status: 302 });
    expect(calls).toBe(1);
  });

  it('reads no more than it may', async () => {
    answer = (_request, response) => {
      const write = (): void => {
        while (!response.destroyed && response.write('x'.repeat(1024)));
      };
      response.on('drain', write);
      write();
    };
    await expect(get({ maxBytes: 10_000 })).rejects.toThrow('answered more than 10000 bytes');
  });

  it('takes an answer of just the length it may have', async () => {
    answer = (_request, response) => response.end('x'.repeat(100));
    await expect(get({ maxBytes: 100 })).resolves.toMatchObject({ status: 200 });
    await expect(get({ maxBytes: 99 })).rejects.toThrow('answered more than 99 bytes');
  });

  it.each([
    ['before anything is answered', (_request: IncomingMessage, _response: ServerResponse) => undefined],
    [
      'in the middle of an answer',
      (_request: IncomingMessage, response: ServerResponse) => response.write('half'),
    ],
  ])('ends at its deadline, %s', async (_name, hang) => {
    answer = hang;
    await expect(get({ signal: AbortSignal.timeout(50) })).rejects.toMatchObject({ name: 'TimeoutError' });
  });

  it('ends for the reason of its signal, one that aborted before included', async () => {
    await expect(get({ signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  });

  it('says so when an answer breaks off', async () => {
    answer = (_request, response) => {
      response.writeHead(200, { 'Content-Length': 100 });
      response.write('half', () => response.destroy());
    };
    await expect(get()).rejects.toThrow('broke off its answer');
  });

  it('fails with a system error when nobody listens', async () => {
    const call = callHttp({ method: 'GET', url: 'http://127.0.0.1:1/', signal: AbortSignal.timeout(5000) });
    await expect(call).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('fails when what answers does not speak HTTP', async () => {
    answer = (request) => request.socket.end('+OK ready\r\n');
    const error = await get().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UnusableAnswerError);
    expect(error).toMatchObject({ cause: { code: expect.stringMatching(/^HPE_/) as unknown } });
  });
});
