import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { RawClients } from '../support/raw-clients.js';
import { TestService } from '../support/service.js';

const LIMIT_SECONDS = 1;
const START = '/api/v1/models/start';

let service: TestService;
const clients = new RawClients(() => service);

beforeAll(async () => {
  service = await TestService.create();
  await service.configureServer({ request_timeout_seconds: LIMIT_SECONDS });
  await service.boot();
});

afterAll(async () => {
  clients.close();
  await service.dispose();
});

async function expectOthersAnswered(): Promise<void> {
  const began = performance.now();
  expect((await service.get('/health/ready')).status).toBe(200);
  expect((await service.get('/api/v1/models/status')).body).toEqual([]);
  expect(performance.now() - began).toBeLessThan(1000);
}

/** Drips one byte every 100 ms; resolves, in ms, when the service has closed the connection. */
async function drip(socket: Socket): Promise<number> {
  const began = performance.now();
  const timer = setInterval(() => socket.write('a'), 100);
  await once(socket, 'close');
  clearInterval(timer);
  return performance.now() - began;
}

describe('a client', () => {
  it.each([
    ['headers', `GET /health HTTP/1.1\r\nHost: a\r\nX-Slow: `],
    [
      'body',
      `POST ${START} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n`,
    ],
  ])('that drips its %s is cut off about when the request timeout says so', async (_part, first) => {
    const closed = drip(await clients.open(first));
    await expectOthersAnswered();
    const took = await closed;
    expect(took).toBeGreaterThan(LIMIT_SECONDS * 1000 - 100);
    expect(took).toBeLessThan(LIMIT_SECONDS * 1000 + 2000);
  });

  it('that hangs up in the middle of its request starts nothing', async () => {
    const half = '{"model_name":"MAM","gpu';
    const socket = await clients.open(
      `POST ${START} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n${half}`,
    );
    socket.destroy();
    await expectOthersAnswered();
  });

  it('that sends a body over the limit is refused', async () => {
    const answer = await service.call('POST', START, JSON.stringify({ filler: 'x'.repeat(1_000_000) }));
    expect(answer.status).toBe(413);
    await expectOthersAnswered();
  });

  it('with 1,000 idle connections keeps nobody out, and loses them at the timeout', async () => {
    const idle = await clients.openMany(1000);
    expect(idle.filter((socket) => !socket.closed)).toHaveLength(1000);
    await expectOthersAnswered();
    await service.until(() => Promise.resolve(idle.every((socket) => socket.closed)), 10_000);
    await expectOthersAnswered();
  }, 20_000);
});
