import { setTimeout as sleep } from 'node:timers/promises';
import { TestService } from '../test/support/service.js';
import type { Figure } from './figures.js';
import type { Rounds } from './rounds.js';
import { median, p99, timed } from './statistics.js';

/** A load that takes longer has failed. */
const LOAD_LIMIT_MS = 15_000;
const MODELS = Array.from({ length: 8 }, (_, index) => `model_${index}`);

async function withService<T>(loadSeconds: number, work: (service: TestService) => Promise<T>): Promise<T> {
  const service = await TestService.create({
    process: true,
    models: Object.fromEntries(
      MODELS.map((model) => [model, { load_seconds: loadSeconds, unload_seconds: 0.05 }]),
    ),
    triton: { api_timeout_seconds: 60 },
  });
  try {
    await service.boot();
    return await work(service);
  } finally {
    await service.dispose();
  }
}

async function accepted(service: TestService, model: string, gpu: number): Promise<number> {
  const { ms, result } = await timed(() => service.start(model, gpu));
  if (result.status !== 202)
    throw new Error(`a start was answered ${result.status}: ${JSON.stringify(result.body)}`);
  return ms;
}

/** How fast a start is answered while its model takes seconds to load, and how fast status is read meanwhile. */
export function benchStarts({ rounds, loadSeconds, readMs }: Rounds['starts']): Promise<Figure[]> {
  return withService(loadSeconds, async (service) => {
    const starts: number[] = [];
    const reads: number[] = [];
    let unanswered = 0;
    for (let round = 0; round < rounds; round += 1) {
      for (const [index, model] of MODELS.entries()) starts.push(await accepted(service, model, index % 4));
      const until = performance.now() + readMs;
      while (performance.now() < until) {
        const { ms, result } = await timed(() => service.get('/api/v1/models/status'));
        if (result.status !== 200) unanswered += 1;
        reads.push(ms);
      }
      const stops = await Promise.all(MODELS.map((model, index) => service.stop(model, index % 4)));
      unanswered += stops.filter((stop) => stop.status !== 200).length;
    }
    return [
      { name: 'start is answered, median', value: median(starts), unit: 'ms', target: '≤ 10' },
      { name: 'start is answered, p99', value: p99(starts), unit: 'ms', target: '≤ 50' },
      { name: 'status during eight loads, p99', value: p99(reads), unit: 'ms', target: '≤ 20' },
      { name: 'status during eight loads, samples', value: reads.length, unit: 'count' },
      { name: 'not answered as they should be', value: unanswered, unit: 'count', mustBe: 0 },
    ];
  });
}

/** Reads while Triton is frozen. */
export function benchFrozen({ ms: frozenMs }: Rounds['frozen']): Promise<Figure[]> {
  return withService(0.1, async (service) => {
    await accepted(service, 'model_0', 0);
    await service.untilRunning('model_0@0');
    const [pid = 0] = await service.serverPids();
    const reads: number[] = [];
    let unanswered = 0;
    process.kill(pid, 'SIGSTOP');
    try {
      const until = performance.now() + frozenMs;
      while (performance.now() < until) {
        const { ms, result } = await timed(() => service.get('/api/v1/models/status'));
        if (result.status !== 200) unanswered += 1;
        reads.push(ms);
        await sleep(5);
      }
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    return [
      { name: 'status while Triton is frozen, p99', value: p99(reads), unit: 'ms', target: '≤ 20' },
      { name: 'status while Triton is frozen, not answered', value: unanswered, unit: 'count', mustBe: 0 },
    ];
  });
}

/** From the backend's own readiness to RUNNING over the API; both asked in turns, without a pause. */
export function benchReadiness({ rounds }: Rounds['readiness']): Promise<Figure[]> {
  return withService(0.5, async (service) => {
    const lags: number[] = [];
    // One model keeps the server up, so that each round measures a load and nothing else.
    await accepted(service, 'model_7', 3);
    await service.untilRunning('model_7@3');
    const url = `http://127.0.0.1:${service.tritonPorts.http}/v2/models/model_0/ready`;
    for (let round = 0; round < rounds; round += 1) {
      await accepted(service, 'model_0', 0);
      const limit = performance.now() + LOAD_LIMIT_MS;
      let readyAt = 0;
      let runningAt = 0;
      while (runningAt === 0) {
        if (performance.now() > limit) throw new Error(`model_0 is not RUNNING within ${LOAD_LIMIT_MS} ms`);
        if (readyAt === 0 && (await fetch(url, { headers: { Connection: 'close' } })).status === 200) {
          readyAt = performance.now();
        }
        if ((await service.placements()).includes('model_0@0:RUNNING')) runningAt = performance.now();
      }
      lags.push(Math.max(0, runningAt - (readyAt === 0 ? runningAt : readyAt)));
      await service.stop('model_0', 0);
    }
    return [{ name: 'RUNNING after readiness, median', value: median(lags), unit: 'ms', target: '≤ 100' }];
  });
}

/** Starts and stops of two models over four GPUs at once; then everyone must agree on what is left. */
export function benchStorm({ commands: count }: Rounds['storm']): Promise<Figure[]> {
  return withService(0.05, async (service) => {
    const commands = Array.from({ length: count }, (_, index) => {
      const model = MODELS[index % 2] ?? '';
      const gpu = Math.floor(Math.random() * 4);
      return Math.random() < 0.6 ? service.start(model, gpu) : service.stop(model, gpu);
    });
    const { ms, result: answers } = await timed(() => Promise.all(commands));
    await service.until(
      async () => (await service.placements()).every((each) => each.endsWith(':RUNNING')),
      20_000,
    );
    const placements = await service.placements();
    const loaded = (await service.tritonIndex())
      .filter((row) => row.state === 'READY')
      .map((row) => row.name);
    const placed = [...new Set(placements.map((placement) => placement.split('@')[0] ?? ''))];
    const desired = (await service.desired()).sort();
    const agree =
      JSON.stringify(loaded.sort()) === JSON.stringify(placed.sort()) &&
      JSON.stringify(desired) ===
        JSON.stringify(placements.map((placement) => placement.replace(':RUNNING', '')));
    return [
      { name: `${count} mixed commands at once, all answered`, value: ms, unit: 'ms' },
      {
        name: 'of these, 5xx or no answer',
        value: answers.filter(({ status }) => status === 0 || status >= 500).length,
        unit: 'count',
        mustBe: 0,
      },
      { name: 'status, desired state and index disagree', value: agree ? 0 : 1, unit: 'count', mustBe: 0 },
    ];
  });
}
