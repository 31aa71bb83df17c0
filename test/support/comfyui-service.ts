import { afterEach, expect } from '@jest/globals';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ComfyuiBehaviour, ComfyuiStandin, EMPTY_IMAGE } from './comfyui-standin.js';
import { freePorts } from './ports.js';
import { processesOf } from './processes.js';
import { TestService } from './service.js';

/** Of the case that runs, as is all that follows. */
export let service: TestService;
export let standin: ComfyuiStandin;
export let firstPort: number;

/** The service of each case ends with it. */
export function useComfyui(): void {
  afterEach(() => service.dispose());
}

interface Settings {
  readonly behaviour?: ComfyuiBehaviour;
  readonly section?: Record<string, unknown>;
  readonly config?: Record<string, unknown>;
}

export async function boot({ behaviour = {}, section = {}, config = {} }: Settings = {}): Promise<void> {
  [firstPort = 0] = await freePorts(1);
  service = await TestService.create({
    models: { MAM: { load_seconds: 0.1 } },
    runners: async (directory) => {
      standin = await ComfyuiStandin.create(directory);
      await standin.behave(behaviour);
      return {
        comfyui: {
          ...standin.location,
          ports: { from: firstPort, to: firstPort + 10 },
          start_timeout_seconds: 10,
          stop_grace_seconds: 1,
          ...section,
        },
      };
    },
    config: {
      health: { fast_interval_ms: 50, slow_interval_ms: 100, probe_timeout_ms: 300 },
      restart: { initial_delay_ms: 50, max_attempts: 2 },
      ...config,
    },
  });
  await service.boot();
}

export async function start(...gpus: number[]): Promise<number[]> {
  for (const gpu of gpus) expect((await service.start('chane_face', gpu)).status).toBe(202);
  await service.untilRunning(...gpus.map((gpu) => `chane_face@${gpu}`));
  return pids();
}

/** Of the servers, by GPU. */
export async function pids(): Promise<number[]> {
  return (await placements()).map(({ pid }) => pid ?? 0);
}

/** A start where it serves already changes nothing, and its answer tells all. */
export async function placements(): Promise<{ gpu_id: number; pid: number | null; port: number | null }[]> {
  const { body } = await service.call<{ placements: { gpu_id: number; pid: number; port: number }[] }>(
    'POST',
    '/api/v1/models/start',
    { model_name: 'chane_face', gpu_id: 0 },
  );
  return body.placements;
}

export async function comfyui<T>(path: string, body?: unknown, port = firstPort): Promise<T> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(5000),
  });
  const text = await response.text();
  return JSON.parse(text === '' ? 'null' : text) as T;
}

export const prompt = (): Promise<unknown> => comfyui('/prompt', { prompt: EMPTY_IMAGE });

export const images = async (): Promise<string[]> =>
  (await readdir(standin.outputDir)).filter((file) => file.endsWith('.png'));

export async function untilBusy(remaining: number): Promise<void> {
  await service.until(async () => {
    const { exec_info: info } = await comfyui<{ exec_info: { queue_remaining: number } }>('/prompt');
    return info.queue_remaining === remaining;
  });
}

/** What the server of GPU 0 has printed. */
export const output = (): Promise<string> =>
  readFile(join(service.stateDir, 'logs', 'comfyui_chane_face_0.log'), 'utf8');

export const launches = async (): Promise<number> => (await output()).split('ComfyUI version').length - 1;

export async function expectNothingLeft(): Promise<void> {
  expect(await service.placements()).toEqual([]);
  expect(await processesOf(service.stateDir)).toEqual([]);
}
