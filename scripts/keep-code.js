/**
 * Boots dist/program.cjs once, and keeps the code that V8 has compiled until then.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { keepCode, runBundle } from '../dist/kept-code.js';
import { writeBareConfig } from './bare-config.js';

const LIMIT_MS = 30_000;
const PROGRAM = resolve('dist/program.cjs');
/** What a client asks first, once there is an answer at all. */
const PATHS = ['/health/ready', '/api/v1/gpus', '/api/v1/models/status', '/api/v1/models/status/none'];

const directory = mkdtempSync(join(tmpdir(), 'mic-keep-code-'));
process.once('exit', () => rmSync(directory, { recursive: true, force: true }));

for (const name of Object.keys(process.env).filter((each) => each.startsWith('MIC_')))
  delete process.env[name];
const { file, port } = await writeBareConfig(directory);
process.env.MIC_CONFIG = file;

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
  const response = await fetch(`http://127.0.0.1:${port}${path}`).catch(() => undefined); // it does not listen yet
  return response?.text();
}
