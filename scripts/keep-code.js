/**
 * Boots dist/program.cjs once, with simulated GPUs and nothing to serve, and keeps the code that V8 has compiled until then.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { keepCode, runBundle } from '../dist/kept-code.js';
import { freePort } from './free-port.js';

const LIMIT_MS = 30_000;
const PROGRAM = resolve('dist/program.cjs');
/** What a client asks first. */
const PATHS = ['/', '/health/ready', '/api/v1/gpus', '/api/v1/models/status', '/api/v1/models/status/none'];

const directory = mkdtempSync(join(tmpdir(), 'mic-keep-code-'));
process.once('exit', () => rmSync(directory, { recursive: true, force: true }));

const port = await freePort();
const config = {
  instance_name: 'keep-code',
  server: { port },
  state: { dir: join(directory, 'state') },
  gpus: { source: 'simulated' },
  // Nothing on this host is asked or touched.
  launchers: { docker: { socket_path: join(directory, 'none.sock') } },
  log: { level: 'error' },
};
for (const name of Object.keys(process.env).filter((each) => each.startsWith('MIC_')))
  delete process.env[name];
process.env.MIC_CONFIG = join(directory, 'config.yaml');
writeFileSync(process.env.MIC_CONFIG, JSON.stringify(config));

const script = runBundle(PROGRAM);
const limit = Date.now() + LIMIT_MS;
while (!(await answer('/'))) {
  if (Date.now() > limit) throw new Error(`${PROGRAM} does not answer`);
  await sleep(20);
}
for (const path of PATHS) await answer(path);
keepCode(PROGRAM, script);
process.kill(process.pid, 'SIGTERM');

async function answer(path) {
  const response = await fetch(`http://127.0.0.1:${port}${path}`).catch(() => undefined);
  return response?.text();
}
