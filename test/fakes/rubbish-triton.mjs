/**
 * A Triton that answers as the file in MODE_FILE says, which is read at each request: `good`, or one of the ways below to
 * answer every request, or only those whose path has a word in it (`half config`).
 */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { setTimeout } from 'node:timers';

const flag = (name) => process.argv.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3) ?? '';
const port = Number(flag('http-port'));

function write(response, chunk) {
  const more = () => {
    while (!response.destroyed && response.write(chunk));
  };
  response.on('drain', more);
  more();
}

const MODELS = (process.env.MODELS ?? 'MAM').split(',');
const unloaded = new Set();
const GROUPS = [0, 1, 2, 3].map((id) => ({ name: `gpu_${id}`, count: 1, kind: 'KIND_GPU', gpus: [id] }));

function good(request, response) {
  if (request.url.endsWith('/index')) {
    const stateOf = (name) => (unloaded.has(name) ? 'UNAVAILABLE' : 'READY');
    return response.end(JSON.stringify(MODELS.map((name) => ({ name, state: stateOf(name) }))));
  }
  const [, model, verb] = /\/repository\/models\/(.+)\/(load|unload)$/.exec(request.url) ?? [];
  if (verb === 'load') unloaded.delete(model);
  if (verb === 'unload') unloaded.add(model);
  if (request.url.endsWith('/config')) return response.end(JSON.stringify({ instance_group: GROUPS }));
  return response.end();
}

const WAYS = {
  good,
  text: (_request, response) => response.end('<html>It works!</html>'),
  null: (_request, response) => response.end('null'),
  deep: (_request, response) => response.end('['.repeat(100_000)),
  'error-body': (_request, response) => response.end('{"error":"the model is not there"}'),
  redirect(request, response) {
    if (request.url === '/elsewhere') return good({ url: '/config' }, response);
    return response.writeHead(302, { Location: `http://127.0.0.1:${port}/elsewhere` }).end();
  },
  half(_request, response) {
    response.writeHead(200, { 'Content-Length': '1000' });
    response.write('{"instance_group":[', () => response.destroy());
  },
  endless: (_request, response) => write(response, ' '.repeat(65_536)),
  'endless-headers'(_request, response) {
    response.socket.write('HTTP/1.1 200 OK\r\n');
    write(response.socket, `X-Filler: ${'x'.repeat(1000)}\r\n`);
  },
  'no-http': (_request, response) => response.socket.end('SSH-2.0-OpenSSH_9.2\r\n'),
  hang: () => undefined,
  slow: (request, response) => setTimeout(() => good(request, response), 2500),
};

const server = createServer((request, response) => {
  response.on('error', () => undefined);
  response.socket.on('error', () => undefined);
  const [way, part = ''] = readFileSync(process.env.MODE_FILE, 'utf8').trim().split(' ');
  (request.url.includes(part) || request.url === '/elsewhere' ? WAYS[way] : good)(request, response);
});
server.listen(port, '127.0.0.1');
process.on('SIGTERM', () => process.exit(0));
