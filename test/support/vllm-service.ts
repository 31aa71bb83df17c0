import { afterEach, expect } from '@jest/globals';
import { join } from 'node:path';
import { standinVllm } from '../fakes/vllm/standin-vllm.js';
import { processesOf } from './processes.js';
import { type ServiceSettings, TestService } from './service.js';

interface PlacementView {
  readonly pid: number | null;
  readonly port: number;
  readonly status: string;
}

/** Of the case that runs, as is all that follows. */
export let service: TestService;

export async function boot(
  models: Record<string, Record<string, unknown>>,
  config: ServiceSettings['config'] = {},
  section: Record<string, unknown> = {},
): Promise<void> {
  service = await TestService.create({
    vllm: (ports, directory) => ({
      ...standinVllm(ports, models),
      ...section,
      env: { STANDIN_JOURNAL: join(directory, 'journal') },
    }),
    config: {
      health: { fast_interval_ms: 100, slow_interval_ms: 200 },
      restart: { initial_delay_ms: 50, max_delay_ms: 100, max_attempts: 2 },
      ...config,
    },
  });
  await service.boot();
}

/** The first placement of a model, as the status shows it. */
export async function placementOf(model: string): Promise<PlacementView> {
  const { body } = await service.get<PlacementView[]>(`/api/v1/models/status/${model}`);
  const [first] = body;
  if (!first) throw new Error(`${model} has no placement`);
  return first;
}

export async function started(
  model: string,
  gpu: number,
  config?: Record<string, unknown>,
): Promise<{ pid: number; port: number }> {
  expect(await service.start(model, gpu, config)).toMatchObject({
    status: 202,
    body: { status: 'STARTING' },
  });
  await service.untilRunning(`${model}@${gpu}`);
  const { pid, port } = await placementOf(model);
  if (pid === null) throw new Error(`${model} has no process`);
  return { pid, port };
}

/** Status of a completion that takes `tokens` × 10 ms; 0 where it was cut off. */
export function completion(port: number, model: string, tokens: number): Promise<number> {
  return fetch(`http://127.0.0.1:${port}/v1/completions`, {
    method: 'POST',
    headers: { Connection: 'close', 'Content-Type': 'application/json' },
    body: JSON.stringify({ model, prompt: 'hello', max_tokens: tokens }),
    signal: AbortSignal.timeout(20_000),
  }).then(
    ({ status }) => status,
    () => 0,
  );
}

export async function isAtWork(port: number): Promise<boolean> {
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return /^vllm:num_requests_running\S+ [1-9]/m.test(metrics);
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended already.
  }
}

/** The service of each case ends with it, and every process that it left. */
export function useVllm(): void {
  afterEach(async () => {
    const { stateDir } = service;
    await service.dispose();
    for (const pid of await processesOf(stateDir)) killIfThere(pid);
  });
}
