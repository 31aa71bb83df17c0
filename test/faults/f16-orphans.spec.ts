import { afterEach, describe, expect, it } from '@jest/globals';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { processesOf } from '../support/processes.js';
import { TestService } from '../support/service.js';

const services: TestService[] = [];

afterEach(async () => {
  for (const service of services.splice(0)) await service.dispose();
});

interface OrphanInfo {
  kind: string;
  server_name: string;
  pid: number | null;
  models: string[];
  removal_due: string | null;
}

/** Two models in the shared server and one in its own; then the service dies, and its state with it. */
async function bereft(orphans: Record<string, unknown>): Promise<TestService> {
  const service = await TestService.create({
    models: Object.fromEntries(['MAM', 'Other', 'Own'].map((model) => [model, { load_seconds: 0.1 }])),
    config: { orphans: { interval_seconds: 1, ...orphans } },
    triton: {
      model_gpu_configs: { default: { instances_per_gpu: 1 }, Own: { use_dedicated_server: true } },
    },
  });
  services.push(service);
  await service.boot();
  for (const model of ['MAM', 'Other', 'Own']) await service.start(model, 0);
  await service.untilRunning('MAM@0', 'Other@0', 'Own@0');
  await service.end('SIGKILL');
  await rm(join(service.stateDir, 'desired-state.json'));
  return service;
}

async function orphansOf(service: TestService): Promise<OrphanInfo[]> {
  const { body } = await service.get<OrphanInfo[]>('/api/v1/models/orphans');
  return body.sort((a, b) => a.server_name.localeCompare(b.server_name));
}

async function loadedIn(service: TestService): Promise<string[]> {
  const rows = await service.tritonIndex();
  return rows.filter(({ state }) => state === 'READY').map(({ name }) => name);
}

const isAlive = (pid: number): boolean => process.kill(pid, 0);

describe('servers whose state was lost', () => {
  it('are found at boot, reported, and removed after the grace; those of others are not touched', async () => {
    const stranger = await bereft({});
    const service = await bereft({ grace_seconds: 4 });
    const pids = await service.serverPids();
    // Not even a record: what is left is what the processes themselves carry.
    await rm(join(service.stateDir, 'processes'), { recursive: true });
    await service.boot();
    await service.until(async () => (await orphansOf(service)).length > 0);
    const orphans = await orphansOf(service);
    expect(orphans).toMatchObject([
      { kind: 'server', server_name: 'triton_server', models: ['MAM', 'Other'] },
      { kind: 'server', server_name: 'triton_server_Own', models: ['Own'] },
    ]);
    expect(orphans.map(({ pid }) => pid).sort()).toEqual(pids.sort());
    expect(Date.parse(orphans[0]?.removal_due ?? '')).toBeGreaterThan(Date.now());
    expect(pids.every(isAlive)).toBe(true);
    expect(await service.placements()).toEqual([]);
    await service.until(async () => (await processesOf(service.stateDir)).length === 0, 20_000);
    await service.until(async () => (await orphansOf(service)).length === 0);
    expect(service.log).toContain('An orphan was removed');
    expect(await processesOf(stranger.stateDir)).toHaveLength(2);
  });

  it('are kept by a start within the grace, untouched; what else they have loaded is unloaded', async () => {
    const service = await bereft({ grace_seconds: 3 });
    await service.boot();
    await service.until(async () => (await orphansOf(service)).length === 2);
    const shared = (await orphansOf(service))[0]?.pid ?? 0;
    expect((await service.start('MAM', 0)).status).toBe(202);
    await service.untilRunning('MAM@0');
    await service.until(async () => (await loadedIn(service)).join() === 'MAM', 20_000);
    await service.until(async () => (await orphansOf(service)).length === 0, 20_000);
    expect(await service.serverPids()).toEqual([shared]);
    expect((await service.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
    expect(await service.placements()).toEqual(['MAM@0:RUNNING']);
    expect((await service.start('Other', 1)).status).toBe(202);
    await service.untilRunning('MAM@0', 'Other@1');
  });

  it('are left alone, and reported, where the configuration says so', async () => {
    const service = await bereft({ policy: 'report', grace_seconds: 0, interval_seconds: 0.3 });
    await service.boot();
    await service.until(async () => (await orphansOf(service)).length === 2);
    // Two further looks.
    await new Promise((resolve) => setTimeout(resolve, 750));
    expect(await orphansOf(service)).toMatchObject([{ removal_due: null }, { removal_due: null }]);
    expect((await processesOf(service.stateDir)).length).toBe(2);
    expect(await loadedIn(service)).toEqual(['MAM', 'Other']);
  });
});
