import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
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
  });
  await service.boot();
});

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
      gpus.simulated = { taken_out: [0] };
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
