import { once } from 'node:events';
import { createServer, get, type IncomingHttpHeaders, type IncomingMessage, type Server } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { polledReads } from '../../src/common/http/polled-reads.js';

interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

let server: Server;
let port: number;
let reads: number;
let read: () => object | Promise<object>;

beforeEach(async () => {
  reads = 0;
  read = () => ({ reads });
  const counted = (): object | Promise<object> => {
    reads += 1;
    return read();
  };
  const prepare = (
    _request: unknown,
    response: { setHeader: (name: string, value: string) => void },
  ): void => {
    response.setHeader('X-Prepared', 'yes');
  };
  server = createServer(
    polledReads({ '/read': counted }, prepare, (_request, response) => response.writeHead(418).end('other')),
  ).listen(0, '127.0.0.1');
  await once(server, 'listening');
  port = (server.address() as { port: number }).port;
});

afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

async function ask(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
  const request = get({ host: '127.0.0.1', port, path, headers, method, agent: false });
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response) text += String(chunk);
  return { status: response.statusCode, headers: response.headers, text };
}

describe('reads that are polled', () => {
  it('are answered with what every answer has', async () => {
    const { status, headers, text } = await ask('/read');
    expect({ status, text }).toEqual({ status: 200, text: '{"reads":1}' });
    expect(headers).toMatchObject({
      'content-type': 'application/json; charset=utf-8',
      'content-length': '11',
      'x-prepared': 'yes',
    });
  });

  it('see what was there when they asked, one after another', async () => {
    expect((await ask('/read')).text).toBe('{"reads":1}');
    expect((await ask('/read')).text).toBe('{"reads":2}');
  });

  it('share one reading where they ask at once, and no more', async () => {
    const answers = polledReads(
      { '/read': () => ({ reads: (reads += 1) }) },
      () => undefined,
      () => undefined,
    );
    const texts: string[] = [];
    const asked = (): void => {
      const response = {
        setHeader: () => undefined,
        writeHead: () => ({ end: (body: Buffer) => texts.push(body.toString()) }),
      };
      answers({ method: 'GET', url: '/read', headers: {} } as never, response as never);
    };
    asked();
    asked();
    await nextTurn();
    await nextTurn();
    asked();
    await nextTurn();
    expect(texts).toEqual(['{"reads":1}', '{"reads":1}', '{"reads":2}']);
  });

  it('are 304 to a client that has them already', async () => {
    read = () => ({});
    const { headers } = await ask('/read');
    const tag = headers.etag ?? '';
    expect(tag).toMatch(/^W\/"/);
    const again = await ask('/read', { 'If-None-Match': tag });
    expect(again).toMatchObject({ status: 304, text: '', headers: { etag: tag, 'x-prepared': 'yes' } });
    expect(again.headers).not.toHaveProperty('content-length');
    read = () => ({ other: true });
    expect(await ask('/read', { 'If-None-Match': tag })).toMatchObject({
      status: 200,
      text: '{"other":true}',
    });
  });

  it.each([
    ['/read?status=ERROR', {}, 'GET'],
    ['/read/', {}, 'GET'],
    ['/read', {}, 'POST'],
    ['/read', { 'Content-Length': '0' }, 'GET'],
    ['/__proto__', {}, 'GET'],
  ])('are left to Express in any other form: %s %j %s', async (path, headers, method) => {
    expect(await ask(path, headers, method)).toMatchObject({ status: 418, text: 'other' });
    expect(reads).toBe(0);
  });

  it.each([
    [
      'at once',
      () => {
        throw new Error('no');
      },
    ],
    ['later', () => Promise.reject(new Error('no'))],
  ])('are left to Express where they fail %s', async (_when, fails) => {
    read = fails;
    const { status, headers } = await ask('/read');
    expect(status).toBe(418);
    expect(headers).not.toHaveProperty('x-prepared');
  });
});
