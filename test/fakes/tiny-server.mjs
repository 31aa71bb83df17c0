// A model server of one file for tests: `--port`, `--host`, `--mode`. GET /health is 503 while it starts, then 200.
import { spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    port: { type: 'string' },
    host: { type: 'string' },
    mode: { type: 'string', default: 'quick' },
    journal: { type: 'string' },
  },
});
const mode = values.mode ?? 'quick';

if (mode === 'crash') {
  console.error('Traceback (most recent call last):');
  console.error('ValueError: no such weights');
  process.exit(3);
}
if (mode === 'unfit') {
  console.error('ValueError: no such option');
  process.exit(2);
}
if (mode === 'leaves-child') {
  // Another process of the server that outlives its main process, as vLLM's engine does.
  spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
}
if (mode === 'stubborn') process.on('SIGTERM', () => {});

const readyAt = Date.now() + 150;
const open = { running: 2, waiting: 1 };

createServer((request, response) => {
  if (values.journal) appendFileSync(values.journal, `${request.method} ${request.url}\n`);
  if (request.url === '/health') {
    const isReady = mode !== 'slow' && Date.now() >= readyAt;
    response.statusCode = isReady ? 200 : 503;
    response.end(JSON.stringify({ device: mode === 'wrong-device' ? 'cpu' : 'gpu' }));
  } else if (request.url === '/metrics') {
    response.end(
      `# TYPE tiny:running gauge\ntiny:running ${open.running}\ntiny:waiting{a="b"} ${open.waiting}\n`,
    );
  } else if (request.url === '/visible') {
    response.end(
      JSON.stringify({ gpus: process.env.CUDA_VISIBLE_DEVICES ?? null, argv: process.argv.slice(2) }),
    );
  } else if (request.url === '/free' && mode === 'deaf-to-free') {
    // No answer.
  } else response.end('{}');
}).listen(Number(values.port), values.host);
