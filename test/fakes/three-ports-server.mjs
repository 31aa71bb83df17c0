#!/usr/bin/env node
// A server on three ports, as MLServer is: requests on the first, whether it is ready on the second, metrics on the third.
// `three-ports-server.mjs --http PORT [--after MS]`, the others by ADMIN_PORT and METRICS_PORT; it listens after MS. Nothing is on two of them. It ends with
// exit code 1 where it does not get one of its ports.
//   http     GET /work?ms=500 is answered after 500 ms; GET / with 404
//   admin    GET /ready
//   metrics  GET /metrics: server_requests_in_progress, server_requests_total
import { createServer } from 'node:http';
import process from 'node:process';
import { setTimeout } from 'node:timers';
import { URL } from 'node:url';
import { parseArgs } from 'node:util';

const { http, after } = parseArgs({
  options: { http: { type: 'string' }, after: { type: 'string', default: '0' } },
}).values;
const { ADMIN_PORT, METRICS_PORT } = process.env;
let [open, done] = [0, 0];

function serve(port, path, answer) {
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://localhost');
    if (pathname === path) answer(response, searchParams);
    else response.writeHead(404).end();
  });
  server.on('error', (error) => {
    console.error(`OSError: ${error.message}`);
    process.exit(1);
  });
  setTimeout(() => server.listen(Number(port), '127.0.0.1'), Number(after));
}

serve(http, '/work', (response, query) => {
  open += 1;
  setTimeout(
    () => {
      open -= 1;
      done += 1;
      response.end('done');
    },
    Number(query.get('ms') ?? 0),
  );
});
serve(ADMIN_PORT, '/ready', (response) => response.end());
serve(METRICS_PORT, '/metrics', (response) =>
  response.end(`server_requests_in_progress{app="x"} ${open}\nserver_requests_total ${done}\n`),
);
