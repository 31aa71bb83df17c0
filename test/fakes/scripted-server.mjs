// A model server that behaves on each GPU as its test has written: `--files <path>` names `<path>.json`, the manner of this
// GPU, which is read at the launch, and `<path>.launches`, where each launch adds a line: its time in ms, and its pid.
// SIGUSR2 shuts its port, or opens it again.
import { appendFileSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { performance } from 'node:perf_hooks';
import { setInterval } from 'node:timers';
import { parseArgs } from 'node:util';

const { port, host, files } = parseArgs({
  options: { port: { type: 'string' }, host: { type: 'string' }, files: { type: 'string' } },
}).values;

// The time of the launch itself: Node.js needs a while until it runs this.
appendFileSync(`${files}.launches`, `${Math.round(performance.timeOrigin)} ${process.pid}\n`);
const { readyAfterMs, exitCode, isDeaf, openRequests } = manner();

if (exitCode !== undefined) {
  console.error(`this GPU is told to end with ${exitCode}`);
  process.exit(exitCode);
}
if (isDeaf) process.on('SIGTERM', () => {});

const readyAt = Date.now() + (readyAfterMs ?? 0);

const server = createServer((request, response) => {
  if (request.url === '/health') response.statusCode = Date.now() >= readyAt ? 200 : 503;
  else if (request.url !== '/metrics') response.statusCode = 404;
  response.end(request.url === '/metrics' ? `scripted:open ${openRequests ?? 0}\n` : '');
});
const open = () => server.listen(Number(port), host);
open();
process.on('SIGUSR2', () => {
  if (server.listening) server.close();
  else open();
});
setInterval(() => {}, 60_000); // it does not end with its port shut

function manner() {
  try {
    return JSON.parse(readFileSync(`${files}.json`, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return {}; // a server of good manners
    throw error;
  }
}
