import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { request } from 'node:http';
import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { RawClients } from '../support/raw-clients.js';
import { TestService } from '../support/service.js';

const MAX_CONNECTIONS = 64;
const LIMIT_SECONDS = 1;
const BUNDLE = 'node_modules/swagger-ui-dist/swagger-ui-bundle.js';
const UNREAD_ANSWERS = 6;
/** Much more than the kernel keeps for a client. */
const UNREAD = 'GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(UNREAD_ANSWERS);
const STATUS = '/api/v1/models/status';

let service: TestService;

beforeAll(async () => {
  service = await TestService.create({ models: { MAM: { load_seconds: 0.1, unload_seconds: 1.5 } } });
  await service.boot();
});

afterAll(async () => {
  clients.close();
  await service.dispose();
});

const clients = new RawClients(() => service);

function open(first?: string): Promise<Socket> {
  return clients.open(first, { reads: first !== UNREAD });
}

function openMany(count: number, first?: string): Promise<Socket[]> {
  return clients.openMany(count, first, { reads: first !== UNREAD });
}

/** Over a connection of its own. @returns the status of the answer; 0: the connection was closed */
function ask(method: string, path: string, body?: object): Promise<number> {
  return new Promise((resolve) => {
    const headers = body === undefined ? {} : { 'Content-Type': 'application/json' };
    const where = { host: '127.0.0.1', port: service.port, path };
    const asked = request({ ...where, method, headers, agent: false }, (answer) => {
      answer.resume().on('end', () => {
        resolve(answer.statusCode ?? 0);
      });
    });
    asked.on('error', () => {
      resolve(0);
    });
    asked.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

async function expectOthersAnswered(): Promise<void> {
  const began = performance.now();
  for (let times = 0; times < 3; times++) {
    expect(await ask('GET', '/health/ready')).toBe(200);
    expect(await ask('GET', STATUS)).toBe(200);
  }
  expect(performance.now() - began).toBeLessThan(2000);
}

describe('F45: connections beyond server.max_connections', () => {
  it('that never send a byte keep nobody out, as many as there may be', async () => {
    await openMany(4200);
    await expectOthersAnswered();
    clients.close();
  });

  describe.each([
    ['never send a byte', undefined],
    ['stop in the middle of their headers', 'GET / HTTP/1.1\r\nHost: a\r\nX-Slow: '],
    [
      'stop in the middle of their body',
      'POST /api/v1/models/start HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{',
    ],
    ['are idle after an answer', 'GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['never read their answer', UNREAD],
  ])('that %s', (_what, first) => {
    afterEach(() => {
      clients.close();
    });

    beforeAll(async () => {
      await service.end('SIGTERM');
      await service.configureServer({ max_connections: MAX_CONNECTIONS, request_timeout_seconds: 600 });
      await service.boot();
    });

    it('give way to others, the longest idle first', async () => {
      const [oldest, ...others] = await openMany(MAX_CONNECTIONS, first);
      const closed = oldest && once(oldest, 'close');
      await expectOthersAnswered();
      if (first !== UNREAD) await closed;
      expect(others.some((socket) => !socket.closed)).toBe(true);
      await openMany(MAX_CONNECTIONS, first);
      await expectOthersAnswered();
    });

    it('take no connection from whoever waits for an answer', async () => {
      const MAM = { model_name: 'MAM', gpu_id: 0 };
      expect(await ask('POST', '/api/v1/models/start', MAM)).toBe(202);
      await service.untilRunning('MAM@0');
      const stop = ask('POST', '/api/v1/models/stop', MAM);
      await sleep(100);
      await openMany(2 * MAX_CONNECTIONS, first);
      expect(await stop).toBe(200);
    });
  });

  it('that come back at once keep nobody out', async () => {
    let isOver = false;
    const comeBack = (): void => {
      if (isOver) return;
      void open().then((socket) => socket.once('close', comeBack), comeBack);
    };
    for (let count = 0; count < 2 * MAX_CONNECTIONS; count++) comeBack();
    await sleep(300);
    await expectOthersAnswered();
    isOver = true;
  });

  it('close a connection whose client does not read its answer', async () => {
    await service.end('SIGTERM');
    await service.configureServer({ max_connections: 4096, request_timeout_seconds: LIMIT_SECONDS });
    await service.boot();
    const socket = await open(UNREAD);
    await sleep(2 * (LIMIT_SECONDS * 1000 + 1000) + 1000);
    let received = 0;
    socket.on('data', (chunk) => (received += chunk.length));
    await once(socket, 'close');
    expect(received).toBeGreaterThan(0);
    expect(received).toBeLessThan(UNREAD_ANSWERS * (await stat(BUNDLE)).size);
    await expectOthersAnswered();
  });
});

describe('F45: a body that is nested', () => {
  const POSTS = ['start', 'plan', 'stop', 'sleep', 'wake'].map((verb) => `/api/v1/models/${verb}`);
  const nested = (depth: number, open: string, close: string): string =>
    `{"model_name":"MAM","gpu_id":0,"config":${open.repeat(depth - 1)}0${close.repeat(depth - 1)}}`;

  it.each([...POSTS, '/api/v1/gpus/0/cordon', '/api/v1/gpus/0/uncordon'])(
    'deeper than any request needs is refused by POST %s',
    async (path) => {
      for (const [open, close] of [
        ['[', ']'],
        ['{"a":', '}'],
      ] as const) {
        for (const depth of [33, 1500, 10_000]) {
          const { status, body } = await service.call('POST', path, nested(depth, open, close));
          expect({ status, code: body.code }).toEqual({ status: 400, code: 'BODY_TOO_DEEP' });
        }
      }
    },
  );

  it('is an option like any other as deep as 32', async () => {
    const { status, body } = await service.call('POST', POSTS[0] ?? '', nested(32, '{"a":', '}'));
    expect({ status, code: body.code }).toEqual({ status: 400, code: 'CONFIG_OPTION_INVALID' });
  });

  it('hides no key that is not allowed', async () => {
    const hidden = nested(20, '{"a":', '}').replace('0}', '{"__proto__":{}}}');
    const { status, body } = await service.call('POST', POSTS[0] ?? '', hidden);
    expect({ status, code: body.code }).toEqual({ status: 400, code: 'INVALID_JSON' });
  });
});
