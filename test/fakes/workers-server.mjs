#!/usr/bin/env node
// A server of several processes in one group, as LitServe or uvicorn with workers are: the main process opens the socket,
// and the workers answer at it. `workers-server.mjs PORT MAIN WORKERS`
//   MAIN     dies: of SIGTERM, at once, and its workers answer on, for good (LitServe)
//            waits: on SIGTERM it has its workers finish their requests, and ends after them (uvicorn, gunicorn)
//            deaf: heeds no signal
//   WORKERS  die: of SIGTERM, under their requests
//            linger: on SIGTERM they answer nothing any more, and end 30 s later (uvicorn without its manager)
//            finish: on SIGTERM they end when their requests are answered
// GET /work?ms=500 is answered after 500 ms. Prints `pid 7` of each worker, and `ready`.
import cluster from 'node:cluster';
import { createServer } from 'node:http';
import process from 'node:process';
import { setInterval, setTimeout } from 'node:timers';
import { URL } from 'node:url';

const WORKERS = 2;
const [port, main, workers] = process.argv.slice(2);

if (cluster.isPrimary) {
  cluster.schedulingPolicy = cluster.SCHED_NONE; // the workers accept by themselves
  const all = Array.from({ length: WORKERS }, () => cluster.fork());
  let listening = 0;
  cluster.on('listening', ({ process: { pid } }) => {
    console.log(`pid ${pid}`);
    listening += 1;
    if (listening === WORKERS) console.log('ready');
  });
  if (main === 'deaf') for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => {});
  if (main === 'waits') {
    for (const signal of ['SIGTERM', 'SIGINT'])
      process.once(signal, () => all.forEach((each) => each.send('finish')));
    cluster.on('exit', () => {
      if (Object.keys(cluster.workers).length === 0) process.exit(0);
    });
  }
} else {
  cluster.worker.exitedAfterDisconnect = true; // it outlives the main process
  let lost = false;
  const server = createServer((request, response) => {
    const { searchParams } = new URL(request.url, 'http://localhost');
    setTimeout(() => lost || response.end('done'), Number(searchParams.get('ms') ?? 0));
  });
  const finish = () => server.close(() => process.exit(0));
  process.on('message', (message) => message === 'finish' && finish());
  if (workers === 'finish') process.once('SIGTERM', finish);
  if (workers === 'linger') {
    process.once('SIGTERM', () => {
      lost = true;
      setTimeout(() => process.exit(0), 30_000);
    });
  }
  server.listen(Number(port), '127.0.0.1');
  setInterval(() => {}, 1000);
}
