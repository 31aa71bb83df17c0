import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts } from '../support/ports.js';
import { ServiceClient } from '../support/service-client.js';

/** The first run on a machine fetches the wheel. */
jest.setTimeout(300_000);

/** Kept for the next run. */
const CACHE = join(process.env.MIC_REAL_DIR ?? '/var/tmp/mic-real', 'cache');

/** What `npm run demo:triton` runs after the build, which other suites are using. */
const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
const [, demo = ''] = (scripts['demo:triton'] ?? '').split(' && ');

const canRun =
  process.platform === 'linux' &&
  process.arch === 'x64' &&
  spawnSync('python3', ['-m', 'pip', '--version']).status === 0;
if (!canRun && process.env.REQUIRE_REAL === '1')
  throw new Error('The demo of Triton needs Linux on x86-64, and python3 with pip');
const onSuchAHost = canRun ? describe : describe.skip;

let child: ChildProcess | undefined;

afterEach(() => {
  if (child?.exitCode === null && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
});

async function until(condition: () => Promise<boolean>, timeoutMs: number): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${timeoutMs} ms`);
    await sleep(100);
  }
}

function sharedMemory(): string[] {
  return readdirSync('/dev/shm').filter((name) => name.startsWith('triton'));
}

onSuchAHost("the demo with NVIDIA's own tritonserver", () => {
  it('starts two models, infers, and leaves nothing behind but the cache when Ctrl-C ends it', async () => {
    const [port = 0, tritonPort = 0] = await freePorts(2);
    const before = sharedMemory();
    const [program = '', ...args] = demo.split(' ');
    const started = spawn(program, [...args, `--triton-port=${tritonPort}`], {
      env: { ...process.env, MIC_PORT: String(port), XDG_CACHE_HOME: CACHE },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    child = started;
    let output = '';
    for (const stream of [started.stdout, started.stderr])
      stream.on('data', (chunk: Buffer) => (output += chunk.toString()));

    const mic = new ServiceClient(port);
    await until(async () => {
      if (started.exitCode !== null) throw new Error(`it ended with ${started.exitCode}:\n${output}`);
      return (await mic.get('/health/ready')).status === 200;
    }, 240_000);
    expect((await mic.start('MAM', 0)).status).toBe(202);
    expect((await mic.start('FastFitAll', 1)).status).toBe(202);
    await until(async () => {
      const placements = await mic.placements();
      return placements.every((placement) => !placement.endsWith('STARTING'));
    }, 60_000);
    expect(await mic.placements()).toEqual(['FastFitAll@1:RUNNING', 'MAM@0:RUNNING']);

    const infer = async (model: string, inputs: Readonly<Record<string, readonly number[]>>) => {
      const response = await fetch(`http://127.0.0.1:${tritonPort}/v2/models/${model}/infer`, {
        method: 'POST',
        headers: { Connection: 'close' },
        body: JSON.stringify({
          inputs: Object.entries(inputs).map(([name, data]) => ({
            name,
            datatype: 'FP32',
            shape: [data.length],
            data,
          })),
        }),
      });
      const { outputs } = (await response.json()) as { outputs: { name: string; data: number[] }[] };
      return Object.fromEntries(outputs.map(({ name, data }) => [name, data]));
    };
    expect(await infer('MAM', { INPUT: [1, 2, 3, 6] })).toEqual({ MEAN: [3], MAXIMUM: [6] });
    const { SLOPE_AND_INTERCEPT: line = [] } = await infer('FastFitAll', { X: [0, 1, 2], Y: [1, 3, 5] });
    expect(line[0]).toBeCloseTo(2, 4);
    expect(line[1]).toBeCloseTo(1, 4);

    const ended = once(started, 'exit');
    // As a terminal does: to all of the group.
    process.kill(-(started.pid ?? 0), 'SIGINT');
    expect(await ended).toEqual([0, null]);
    expect(readdirSync(join(CACHE, 'model-inference-client'))).toEqual([
      expect.stringMatching(/^tritonserver-/),
    ]);
    expect(sharedMemory()).toEqual(before);
    await expect(fetch(`http://127.0.0.1:${tritonPort}/v2/health/live`)).rejects.toThrow();
  });
});
