import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePorts } from '../support/ports.js';
import { TestService } from '../support/service.js';

const LLAMA = join(process.cwd(), 'test/fakes/llama-server.mjs');

let service: TestService;

afterEach(() => service.dispose());

beforeEach(async () => {
  const [port = 0] = await freePorts(1);
  const from = Math.min(port, 32_700);
  const qwen = {
    ...{ command: [process.execPath, LLAMA], health_path: '/health' },
    args: ['--model', '/srv/qwen.gguf', '--host', '{host}', '--port', '{port}'],
  };
  service = await TestService.create({
    runners: { http: { launcher: 'process', ports: { from, to: from + 20 }, models: { qwen } } },
    config: {
      gpus: {
        ...{ source: 'simulated', sample_max_age_ms: 100 },
        health: { interval_seconds: 0.2, throttle_seconds: 1 },
      },
    },
  });
  await service.edit(({ gpus }) => {
    gpus.simulated = { faults_file: faultsFile() };
  });
  await service.boot();
});

const faultsFile = () => join(service.directory, 'faults.json');

/** From here on, the simulated GPUs have these faults, by slot. */
async function haveFaults(faults: Record<string, unknown>): Promise<void> {
  const draft = `${faultsFile()}.new`;
  await writeFile(draft, JSON.stringify(faults));
  await rename(draft, faultsFile());
}

interface Health {
  readonly status: string;
  readonly reason: string | null;
  readonly since: string | null;
  readonly by: string | null;
}

async function healthOf(gpu: number): Promise<Health | undefined> {
  const { body } = await service.get<{ id: number; health: Health }[]>('/api/v1/gpus');
  return body.find(({ id }) => id === gpu)?.health;
}

const cordon = (gpu: number | string, reason?: string) =>
  service.call('POST', `/api/v1/gpus/${gpu}/cordon`, reason === undefined ? undefined : { reason });
const uncordon = (gpu: number | string) => service.call('POST', `/api/v1/gpus/${gpu}/uncordon`);

describe('F39: a GPU that an operator cordons', () => {
  it('takes no start until it is uncordoned, also after a kill -9 and under another index', async () => {
    expect(await healthOf(2)).toEqual({ status: 'ok', reason: null, since: null, by: null });
    await service.start('qwen', 2);
    await service.untilRunning('qwen@2');
    const { status, body } = await cordon(2, 'its fan rattles');
    expect(status).toBe(200);
    expect(body).toMatchObject({ id: 2, health: { status: 'cordoned', reason: 'its fan rattles' } });
    const health = await healthOf(2);
    expect(health).toMatchObject({ status: 'cordoned', by: 'operator' });

    const refused = await service.start('MAM', 2);
    expect(refused.status).toBe(409);
    expect(refused.body).toMatchObject({ code: 'GPU_CORDONED' });
    expect(refused.body.detail).toContain('its fan rattles');
    const { body: plan } = await service.call('POST', '/api/v1/models/plan', {
      model_name: 'MAM',
      gpu_id: 2,
    });
    expect(plan).toMatchObject({ would: 'refuse', reason: { code: 'GPU_CORDONED' } });
    expect(await service.placements()).toEqual(['qwen@2:RUNNING']);

    await service.end('SIGKILL');
    await service.edit(({ gpus }) => {
      gpus.simulated = { taken_out: [0], faults_file: faultsFile() };
    });
    await service.boot();
    await service.untilRunning('qwen@1');
    expect(await healthOf(1)).toEqual(health);
    expect((await healthOf(2))?.status).toBe('ok');

    // What dies there is not brought back.
    process.kill((await service.serverPids())[0] ?? 0, 'SIGKILL');
    await service.until(async () => (await service.errorOf('qwen'))?.code === 'GPU_CORDONED');
    await service.until(async () => (await service.serverPids()).length === 0);

    expect((await uncordon(1)).body).toMatchObject({ id: 1, health: { status: 'ok' } });
    await service.start('qwen', 1);
    await service.untilRunning('qwen@1');
  });

  it('is named by its index or its UUID; what is none is a 400, and what is not there a 404', async () => {
    const { body } = await service.get<{ uuid: string }[]>('/api/v1/gpus');
    expect((await cordon(body[3]?.uuid ?? '')).body).toMatchObject({
      id: 3,
      health: { status: 'cordoned', reason: expect.stringContaining('operator') },
    });
    for (const name of ['9', 'GPU-none']) {
      expect(await cordon(name)).toMatchObject({ status: 404, body: { code: 'GPU_NOT_FOUND' } });
      expect(await uncordon(name)).toMatchObject({ status: 404, body: { code: 'GPU_NOT_FOUND' } });
    }
    for (const name of ['-1', 'x', '1.5', '0x1', '1e0', 'GPU-%2e%2e', '99999']) {
      expect(await cordon(name)).toMatchObject({ status: 400, body: { code: 'VALIDATION_FAILED' } });
    }
    for (const reason of [1, '', null, 'x'.repeat(501)]) {
      const answer = await service.call('POST', '/api/v1/gpus/0/cordon', { reason });
      expect(answer).toMatchObject({ status: 400, body: { code: 'VALIDATION_FAILED' } });
    }
    expect((await healthOf(0))?.status).toBe('ok');
  });
});

describe('F39: a GPU that goes bad', () => {
  it.each<[string, Record<string, unknown>, RegExp]>([
    ['has fallen off the bus', { lost: true }, /GPU is lost/],
    ['reports a hardware Xid', { xids: [79] }, /Xid 79 \(the GPU has fallen off the bus\)/],
    ['has uncorrectable memory errors', { ecc_uncorrected: 1 }, /uncorrectable memory errors/],
    ['cannot remap a row', { remap_failure: true }, /could not be remapped/],
    ['needs a reset', { reset_required: true }, /needs a reset/],
    ['is throttled for too long', { throttle: ['hw_power_brake'] }, /throttled: power brake/],
  ])('that %s takes no start, and what was on it is ERROR', async (_name, faults, reason) => {
    await service.start('qwen', 1);
    await service.start('MAM', 1);
    await service.start('MAM', 2);
    await service.untilRunning('MAM@1', 'MAM@2', 'qwen@1');
    await haveFaults({ 1: faults });
    await service.until(async () => (await service.placements()).join() === 'MAM@2:RUNNING');
    for (const model of ['qwen', 'MAM']) {
      const error = await service.errorOf(model);
      expect(error?.code).toBe('GPU_UNHEALTHY');
      expect(error?.message).toMatch(reason);
    }
    expect(await healthOf(1)).toMatchObject({ status: 'cordoned', by: 'service' });
    expect((await healthOf(1))?.reason).toMatch(reason);
    const refused = await service.start('qwen', 1);
    expect(refused).toMatchObject({ status: 409, body: { code: 'GPU_CORDONED' } });
    expect(refused.body.detail).toMatch(reason);
    // Its servers are gone, and those of the other GPU serve on.
    await service.until(async () => (await service.serverPids()).length === 1);
    expect((await service.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
    for (const gpu of [0, 2, 3]) expect((await healthOf(gpu))?.status).toBe('ok');
  });

  it('stays cordoned after it is back, and after a kill -9, until an operator ends that', async () => {
    await service.start('qwen', 1);
    await service.untilRunning('qwen@1');
    await haveFaults({ 1: { lost: true } });
    await service.until(async () => (await service.errorOf('qwen'))?.code === 'GPU_UNHEALTHY');
    await haveFaults({});
    await service.end('SIGKILL');
    await service.boot();
    expect((await healthOf(1))?.reason).toMatch(/GPU is lost/);
    await service.until(async () => (await service.errorOf('qwen'))?.code === 'GPU_UNHEALTHY');
    expect((await uncordon(1)).body).toMatchObject({ health: { status: 'ok' } });
    await service.start('qwen', 1);
    await service.untilRunning('qwen@1');
  });

  it('is not one whose programs fail, or whose power is capped; what is known is not told again', async () => {
    await service.start('qwen', 1);
    await service.untilRunning('qwen@1');
    await haveFaults({ 1: { xids: [13, 31, 43, 45, 68] } });
    await service.until(() => Promise.resolve(service.log.includes('reports Xid 68')));
    expect((await healthOf(1))?.status).toBe('ok');
    expect(await service.placements()).toEqual(['qwen@1:RUNNING']);
  });

  it('has what was on it started on another, where that is allowed', async () => {
    await service.end('SIGTERM');
    await service.edit(({ gpus }) => {
      gpus.health = { interval_seconds: 0.2, restart_elsewhere: true };
    });
    await service.boot();
    await service.start('qwen', 1);
    await service.start('MAM', 1, { instances_per_gpu: 2 });
    await service.untilRunning('MAM@1', 'qwen@1');
    await haveFaults({ 1: { lost: true } });
    await service.until(async () => {
      const placements = await service.placements();
      return placements.length === 2 && placements.every((each) => /^(MAM|qwen)@[023]:RUNNING$/.test(each));
    }, 15_000);
    for (const model of ['MAM', 'qwen']) expect((await service.errorOf(model))?.code).toBe('GPU_UNHEALTHY');
    expect((await service.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
    await service.until(async () => (await service.serverPids()).length === 2);
  });

  it('is only told with auto_cordon off', async () => {
    await service.end('SIGTERM');
    await service.edit(({ gpus }) => {
      gpus.health = { interval_seconds: 0.2, auto_cordon: false };
    });
    await service.boot();
    await service.start('qwen', 1);
    await service.untilRunning('qwen@1');
    await haveFaults({ 1: { ecc_uncorrected: 1 } });
    await service.until(async () => (await healthOf(1))?.status === 'unhealthy');
    expect((await healthOf(1))?.reason).toContain('uncorrectable memory errors');
    expect(await service.placements()).toEqual(['qwen@1:RUNNING']);
    expect((await service.start('MAM', 1)).status).toBe(202);
  });
});
