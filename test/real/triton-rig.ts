import { afterEach, describe } from '@jest/globals';
import { containersOf, docker, engineAnswers, removeContainersOf } from '../support/docker.js';
import { createRealTriton } from '../support/real-triton.js';
import type { TestService } from '../support/service.js';

/** The service of the case that runs. */
export let mic: TestService;

export async function boot(...settings: Parameters<typeof createRealTriton>): Promise<void> {
  mic = await createRealTriton(...settings);
  await mic.boot();
}

export const containerName = (): string => `triton_${mic.instanceName}`;

/** Lines of the only container's log that tell of a load of the model that was completed. */
export async function loadsOf(model: string): Promise<number> {
  const [container] = await containersOf(mic.instanceName);
  const log = await docker.getContainer(container?.Id ?? '').logs({ stdout: true, stderr: true });
  return log.toString().split(`successfully loaded '${model}'`).length - 1;
}

/** What a Triton serves, and on which GPUs, by its own word: `MAM@0`; sorted. */
export async function servedAt(port: number): Promise<string[]> {
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
  return placements.flat().sort();
}

export async function errorOf(model: string): Promise<{ code: string; message: string } | undefined> {
  const { body } = await mic.get<{ error?: { code: string; message: string } }[]>(
    `/api/v1/models/status/${model}`,
  );
  return Array.isArray(body) ? body[0]?.error : undefined;
}

export const withEngine = (await engineAnswers()) ? describe : describe.skip;

/** The service of each case ends with it, and so do its containers. */
export function useRealTriton(): void {
  afterEach(async () => {
    await mic.dispose();
    await removeContainersOf(mic.instanceName);
  });
}
