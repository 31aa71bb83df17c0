import { afterEach, describe, expect, it } from '@jest/globals';
import { readdir, readFile } from 'node:fs/promises';
import { TestService } from '../support/service.js';

const MODELS = ['MAM', 'FastFitAll', 'Alone'];
const DEDICATED = 'Alone';
const GPUS = [0, 1, 2, 3];
const COMMANDS = 200;
let service: TestService;

afterEach(() => service.dispose());

/** The same sequence for the same seed (a linear congruential generator, Numerical Recipes). */
function sequence(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Pids of every stand-in that this service has launched, by the marker in its environment. */
async function serversOfHost(): Promise<number[]> {
  const pids: number[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const environment = await readFile(`/proc/${entry}/environ`, 'utf8').catch(() => '');
    if (environment.includes(`MIC_LAUNCH_OWNER=${service.stateDir}\0`)) pids.push(Number(entry));
  }
  return pids;
}

/** GPUs on which a server has instances of the model, by its own word: `MAM@0`. */
async function servedAt(port: number): Promise<string[]> {
  const base = `http://127.0.0.1:${port}/v2`;
  const index = await fetch(`${base}/repository/index`, { method: 'POST' });
  const rows = (await index.json()) as { name: string; state?: string }[];
  const ready = rows.filter(({ state }) => state === 'READY').map(({ name }) => name);
  const placements = await Promise.all(
    ready.map(async (model) => {
      const config = await fetch(`${base}/models/${model}/config`);
      const { instance_group: groups } = (await config.json()) as { instance_group: { name: string }[] };
      return groups.map(({ name }) => `${model}@${name.replace('gpu_', '')}`);
    }),
  );
  return placements.flat();
}

/** Port of the server of a placement that runs: a start of it changes nothing, and tells. */
async function portOf(placement: string): Promise<number> {
  const [model = '', gpu = ''] = placement.split('@');
  return (await service.start(model, Number(gpu))).body.port as number;
}

describe('F15: 200 mixed starts and stops at once, four GPUs, three models, a shared and a dedicated Triton', () => {
  it.each([1, 2, 3])(
    'are all answered; status, desired state and what the backends serve agree; no process is left over (seed %d)',
    async (seed) => {
      service = await TestService.create({
        models: Object.fromEntries(
          MODELS.map((model) => [model, { load_seconds: 0.05, unload_seconds: 0.02 }]),
        ),
        triton: {
          model_gpu_configs: {
            [DEDICATED]: { use_dedicated_server: true },
            default: { instances_per_gpu: 1 },
          },
          api_timeout_seconds: 30,
        },
        config: { restart: { initial_delay_ms: 50 } },
      });
      await service.boot();
      const below = sequence(seed);
      const answers = await Promise.all(
        Array.from({ length: COMMANDS }, () => {
          const model = MODELS[below(MODELS.length)] ?? '';
          const gpu = GPUS[below(GPUS.length)] ?? 0;
          return below(2) === 0 ? service.start(model, gpu) : service.stop(model, gpu);
        }),
      );
      expect(answers).toHaveLength(COMMANDS);
      expect(answers.filter(({ status }) => ![200, 202, 404].includes(status))).toEqual([]);
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 202, 404]));

      const desired = await service.desired();
      await service.untilRunning(...desired);
      expect(await service.desired()).toEqual(desired);
      const ports = [...new Set(await Promise.all(desired.map(portOf)))];
      expect((await Promise.all(ports.map(servedAt))).flat().sort()).toEqual(desired);
      expect((await serversOfHost()).sort()).toEqual((await service.serverPids()).sort());
      expect(await service.serverPids()).toHaveLength(ports.length);

      await Promise.all(
        desired.map(async (placement) => {
          const [model = '', gpu = ''] = placement.split('@');
          expect(await service.stop(model, Number(gpu))).toMatchObject({ status: 200 });
        }),
      );
      expect(await service.placements()).toEqual([]);
      expect(await serversOfHost()).toEqual([]);
    },
    30_000,
  );
});
