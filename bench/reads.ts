import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import autocannon from 'autocannon';
import { freePorts } from '../test/support/ports.js';
import { TestService } from '../test/support/service.js';
import type { Figure } from './figures.js';
import type { Rounds } from './rounds.js';
import { median } from './statistics.js';

const CONNECTIONS = 32;
/** Memory is measured after so many, half of them of each path. */
const READS = 100_000;
const MODELS = ['model_0', 'model_1', 'model_2', 'model_3'];
const PATHS = { status: '/api/v1/models/status', gpus: '/api/v1/gpus' } as const;
/** The Python service that this one replaces, tuned, at as many connections; requests/s. */
const ORIGINAL = 10_700;

interface Load {
  readonly perSecond: number;
  readonly failed: number;
}

/** @param limit how long, s, or how many requests */
async function load(url: string, limit: { duration: number } | { amount: number }): Promise<Load> {
  const { requests, errors, non2xx, duration } = await autocannon({
    url,
    connections: CONNECTIONS,
    ...limit,
  });
  return { perSecond: requests.total / duration, failed: errors + non2xx };
}

function memoryMiB(pid: number | undefined): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
}

/** Reads that are polled, against a bare Nest app that answers the same bytes; in turns, so that drift hits both. */
export async function benchReads({ rounds, seconds }: Rounds['reads']): Promise<Figure[]> {
  const service = await TestService.create({
    process: true,
    models: Object.fromEntries(MODELS.map((model) => [model, { load_seconds: 0.05 }])),
  });
  const [port = 0] = await freePorts(1);
  const bare = spawn(process.execPath, [join(import.meta.dirname, 'bare-app.js')], {
    env: { ...process.env, PORT: String(port) },
    stdio: 'ignore',
  });
  try {
    await service.boot();
    for (const [gpu, model] of MODELS.entries()) await service.start(model, gpu);
    await service.untilRunning(...MODELS.map((model, gpu) => `${model}@${gpu}`));
    const own = `http://127.0.0.1:${service.port}`;
    const peer = `http://127.0.0.1:${port}/status`;
    await service.until(() =>
      fetch(peer).then(
        ({ ok }) => ok,
        () => false,
      ),
    );
    const atRest = memoryMiB(service.pid);
    let notRead = 0;
    for (const path of Object.values(PATHS)) {
      const { failed } = await load(`${own}${path}`, { amount: READS / 2 });
      notRead += failed;
    }
    const afterReads = memoryMiB(service.pid);
    const loads: Record<keyof typeof PATHS | 'bare', Load[]> = { status: [], gpus: [], bare: [] };
    for (let round = 0; round < rounds; round += 1) {
      loads.bare.push(await load(peer, { duration: seconds }));
      loads.status.push(await load(`${own}${PATHS.status}`, { duration: seconds }));
      loads.gpus.push(await load(`${own}${PATHS.gpus}`, { duration: seconds }));
    }
    const rate = (of: keyof typeof loads): number => median(loads[of].map(({ perSecond }) => perSecond));
    const ratio = (of: keyof typeof PATHS): number =>
      median(loads[of].map(({ perSecond }, round) => perSecond / (loads.bare[round]?.perSecond ?? 1)));
    const failed = Object.values(loads).flatMap((each) => each.map((one) => one.failed));
    return [
      { name: 'status', value: rate('status'), unit: '1/s', target: `≥ ${ORIGINAL} (the Python original)` },
      { name: 'gpus', value: rate('gpus'), unit: '1/s' },
      { name: 'bare Nest, the same bytes', value: rate('bare'), unit: '1/s' },
      { name: 'status ÷ bare Nest', value: ratio('status'), unit: 'ratio', target: '≥ 4' },
      { name: 'gpus ÷ bare Nest', value: ratio('gpus'), unit: 'ratio', target: '≥ 4' },
      { name: 'memory at rest', value: atRest, unit: 'MiB', target: '≤ 120' },
      { name: 'memory after 100,000 reads', value: afterReads, unit: 'MiB', target: '≤ 160' },
      { name: 'memory after all reads', value: memoryMiB(service.pid), unit: 'MiB' },
      {
        name: 'not answered with 200',
        value: failed.reduce((a, b) => a + b, notRead),
        unit: 'count',
        mustBe: 0,
      },
    ];
  } finally {
    const ended = once(bare, 'exit');
    bare.kill('SIGKILL');
    await ended;
    await service.dispose();
  }
}
