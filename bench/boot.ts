import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts } from '../test/support/ports.js';
import { TestService } from '../test/support/service.js';
import type { Figure } from './figures.js';
import type { Rounds } from './rounds.js';
import { median } from './statistics.js';

const POLL_MS = 2;
/** A boot that takes longer has failed. */
const LIMIT_MS = 30_000;
/** As `npm start` has it. */
const START_COMMAND = ['--max-semi-space-size=4', 'dist/server.js'];
/** Memory is read this long after the first answer, when the start-up garbage is gone. */
const SETTLE_MS = 500;

interface Boot {
  readonly ms: number;
  readonly mib: number;
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    get({ host: '127.0.0.1', port, path: '/', agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    }).on('error', () => {
      resolve(false);
    });
  });
}

async function boot(command: readonly string[], port: number, env: NodeJS.ProcessEnv): Promise<Boot> {
  const start = performance.now();
  const child = spawn(process.execPath, command, { env: { ...process.env, ...env }, stdio: 'ignore' });
  const ended = once(child, 'exit');
  try {
    while (!(await answers(port))) {
      if (child.exitCode !== null) throw new Error(`${command.join(' ')} ended with ${child.exitCode}`);
      if (performance.now() - start > LIMIT_MS)
        throw new Error(`${command.join(' ')} did not answer within ${LIMIT_MS} ms`);
      await sleep(POLL_MS);
    }
    const ms = performance.now() - start;
    await sleep(SETTLE_MS);
    const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
    const mib = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
    return { ms, mib };
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
}

/** Boot to the first 200, and memory then, against a bare Nest app; in turns, so that drift hits both. */
export async function benchBoot({ warmUps, runs }: Rounds['boot']): Promise<Figure[]> {
  const service = await TestService.create({ process: true });
  const [barePort = 0] = await freePorts(1);
  const ours: Boot[] = [];
  const bare: Boot[] = [];
  try {
    for (let run = 0; run < warmUps + runs; run += 1) {
      const peer = await boot([join(import.meta.dirname, 'bare-app.js')], barePort, {
        PORT: String(barePort),
      });
      const own = await boot(START_COMMAND, service.port, { MIC_CONFIG: service.configFile });
      if (run < warmUps) continue; // warms the file cache
      bare.push(peer);
      ours.push(own);
    }
  } finally {
    await service.dispose();
  }
  const ratio = (figure: keyof Boot): number =>
    median(ours.map((own, i) => own[figure] / (bare[i]?.[figure] ?? 1)));
  return [
    { name: 'boot to the first 200', value: median(ours.map((own) => own.ms)), unit: 'ms' },
    { name: 'boot, bare Nest with Swagger', value: median(bare.map((peer) => peer.ms)), unit: 'ms' },
    { name: 'boot ÷ bare Nest', value: ratio('ms'), unit: 'ratio', target: '≤ 0.6' },
    { name: 'memory after boot ÷ bare Nest', value: ratio('mib'), unit: 'ratio', target: '≤ 1.0' },
  ];
}
