/**
 * Boots the bundle once, on the Node that runs this script: it must answer on its port, and end by SIGTERM with 0.
 * Needs `npm run build`; leaves nothing behind.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './free-port.js';

const LIMIT_MS = 30_000;

async function untilReady(port, child) {
  const limit = Date.now() + LIMIT_MS;
  while (child.exitCode === null && Date.now() < limit) {
    const answer = await fetch(`http://127.0.0.1:${port}/health/ready`).catch(() => undefined);
    if (answer?.status === 200) return;
    await sleep(50);
  }
  throw new Error(`The service is not ready; exit code: ${child.exitCode}`);
}

const stateDir = await mkdtemp(join(tmpdir(), 'mic-boot-check-'));
const port = await freePort();
const child = spawn(process.execPath, ['dist/server.js'], {
  env: { ...process.env, MIC_CONFIG: 'config/demo.yaml', MIC_PORT: String(port), MIC_STATE_DIR: stateDir },
  stdio: ['ignore', 'ignore', 'inherit'],
});
const ended = once(child, 'exit');
try {
  await untilReady(port, child);
  child.kill('SIGTERM');
  await Promise.race([ended, sleep(LIMIT_MS, undefined, { ref: false })]);
  if (child.exitCode !== 0) throw new Error(`SIGTERM ended the service with ${child.exitCode}, not with 0`);
  console.log(`Node ${process.version}: the bundle boots, answers and ends`);
} finally {
  child.kill('SIGKILL');
  await rm(stateDir, { recursive: true, force: true });
}
