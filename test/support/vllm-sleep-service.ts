import { afterEach, expect } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { standinVllm } from '../fakes/vllm/standin-vllm.js';
import { processesOf } from './processes.js';
import { type ServiceSettings, TestService } from './service.js';
import type { Answer } from './service-client.js';

export interface PlacementView {
  readonly gpu_id: number;
  readonly status: string;
  readonly pid: number;
  readonly port: number;
  readonly sleeping?: boolean;
  readonly progress?: string;
}

/** Of the case that runs, as is all that follows. */
export let service: TestService;

export async function boot(
  models: Record<string, Record<string, unknown>>,
  { vllm = {}, ...config }: ServiceSettings['config'] & { vllm?: Record<string, unknown> } = {},
): Promise<void> {
  service = await TestService.create({
    vllm: (ports, directory) => ({
      ...standinVllm(ports, models),
      env: { STANDIN_JOURNAL: join(directory, 'journal') },
      ...vllm,
    }),
    config: {
      health: { fast_interval_ms: 50, slow_interval_ms: 100 },
      restart: { initial_delay_ms: 50, max_delay_ms: 100, max_attempts: 2 },
      ...config,
    },
  });
  await service.boot();
}

export function sleep(model: string, gpu: number, level?: unknown): Promise<Answer> {
  return service.call('POST', '/api/v1/models/sleep', { model_name: model, gpu_id: gpu, level });
}

export function wake(model: string, gpu: number): Promise<Answer> {
  return service.call('POST', '/api/v1/models/wake', { model_name: model, gpu_id: gpu });
}

export async function placementOf(model: string): Promise<PlacementView> {
  const { body } = await service.start(model, 0);
  const [first] = body.placements as PlacementView[];
  if (!first) throw new Error(`${model} has no placement`);
  return first;
}

export async function started(model: string): Promise<PlacementView> {
  expect((await service.start(model, 0)).status).toBe(202);
  await service.untilRunning(`${model}@0`);
  return placementOf(model);
}

export async function statusOf(model: string): Promise<Record<string, unknown> | undefined> {
  const { body } = await service.get<Record<string, unknown>[]>(`/api/v1/models/status/${model}`);
  return body[0];
}

/** What a completion says. */
export async function completion(port: number, model: string, tokens = 1): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/v1/completions`, {
    method: 'POST',
    headers: { Connection: 'close', 'Content-Type': 'application/json' },
    body: JSON.stringify({ model, prompt: 'hello', max_tokens: tokens }),
    signal: AbortSignal.timeout(20_000),
  });
  const { choices } = (await response.json()) as { choices: { text: string }[] };
  return choices[0]?.text ?? '';
}

export async function metric(port: number, name: string): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return Number(new RegExp(`^vllm:${name}\\S+ (\\S+)$`, 'm').exec(metrics)?.[1]);
}

/** What was asked of the server, of all that is no inference. */
export async function asked(): Promise<string[]> {
  const journal = await readFile(join(service.directory, 'journal'), 'utf8');
  return journal
    .split('\n')
    .filter((line) => line.startsWith('POST'))
    .map((line) => line.split(' ')[1] ?? '');
}

export const LLAMA = { model: 'standin', sleep_mode: true };

/** The service of each case ends with it, and every process that it left. */
export function useSleepingVllm(): void {
  afterEach(async () => {
    const { stateDir } = service;
    await service.dispose();
    for (const pid of await processesOf(stateDir)) process.kill(pid, 'SIGKILL');
  });
}
