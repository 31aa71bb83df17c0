import { describe, expect, it, jest } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { processesOf } from '../support/processes.js';
import { boot, completion, placementOf, service, started, useVllm } from '../support/vllm-service.js';

jest.setTimeout(60_000);
useVllm();

interface Item {
  readonly status: string;
  readonly degraded?: string;
}

const PROGRESS = { liveness: { progress_seconds: 1.5 } };

const statusOf = async (model: string): Promise<Item | undefined> =>
  (await service.get<Item[]>(`/api/v1/models/status/${model}`)).body[0];

const degradedOf = async (model: string): Promise<string | undefined> => (await statusOf(model))?.degraded;

async function engineOf(pid: number): Promise<number> {
  const [engine = 0] = (await processesOf(service.stateDir)).filter((each) => each !== pid);
  return engine;
}

async function metric(port: number, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return Number(new RegExp(`^${name}\\{[^}]*\\} (\\S+)$`, 'm').exec(text)?.[1]);
}

/** The server is another one by now, and its port. */
async function replaced(pid: number): Promise<number> {
  await service.until(async () => {
    const pids = await service.serverPids();
    return pids.length === 1 && pids[0] !== pid && (await statusOf('llama'))?.status === 'RUNNING';
  }, 20_000);
  return (await placementOf('llama')).port;
}

describe('F31: vLLM answers, and gets nothing done', () => {
  it('as its engine is frozen under a request: it is degraded, started anew, and serves', async () => {
    await boot({ llama: { model: 'standin' } }, PROGRESS);
    const { pid, port } = await started('llama', 0);
    const request = completion(port, 'llama', 300);
    await service.until(async () => (await metric(port, 'vllm:num_requests_running')) > 0);
    process.kill(await engineOf(pid), 'SIGSTOP');
    await service.until(async () => (await degradedOf('llama')) !== undefined);
    expect(await statusOf('llama')).toMatchObject({
      status: 'RUNNING',
      degraded: expect.stringMatching(/^nothing was done for \d+ s, and a request waits$/),
    });
    expect((await fetch(`http://127.0.0.1:${port}/health`)).status).toBe(200);
    const after = await replaced(pid);
    expect(await request).toBe(0);
    expect(await completion(after, 'llama', 1)).toBe(200);
    expect(await processesOf(service.stateDir)).toHaveLength(2);
  });

  it('as its engine is frozen while nobody asks: its canary tells', async () => {
    await boot({ llama: { model: 'standin' } }, PROGRESS);
    const { pid } = await started('llama', 0);
    process.kill(await engineOf(pid), 'SIGSTOP');
    await service.until(async () => (await degradedOf('llama')) !== undefined);
    expect(await completion(await replaced(pid), 'llama', 1)).toBe(200);
  });

  it('as every completion fails: it is degraded, and started anew', async () => {
    await boot({ llama: { model: 'standin?broken_after=0' } }, PROGRESS);
    const { pid, port } = await started('llama', 0);
    expect(await completion(port, 'llama', 1)).toBe(500);
    await service.until(async () => (await degradedOf('llama')) !== undefined);
    expect(await degradedOf('llama')).toMatch(/^no request has succeeded .* have failed in the backend$/);
    await replaced(pid);
  });

  it('but is at work on one long request, or is idle: nothing happens, but for one token now and then', async () => {
    await boot({ llama: { model: 'standin' } }, PROGRESS);
    const { pid, port } = await started('llama', 0);
    expect(await completion(port, 'llama', 600)).toBe(200);
    await sleep(3500);
    expect(await metric(port, 'vllm:generation_tokens_total')).toBeGreaterThan(600);
    expect(await metric(port, 'vllm:generation_tokens_total')).toBeLessThan(610);
    expect(await degradedOf('llama')).toBeUndefined();
    expect(await service.serverPids()).toEqual([pid]);
  });

  it.each([
    ['runners.vllm.canary is false', 'standin', false],
    ['it sleeps', 'standin', true],
  ])('sends no canary where %s', async (_, model, sleeps) => {
    await boot({ llama: { model, sleep_mode: sleeps } }, PROGRESS, sleeps ? {} : { canary: false });
    const { pid, port } = await started('llama', 0);
    if (sleeps) {
      const body = { model_name: 'llama', gpu_id: 0 };
      expect((await service.call('POST', '/api/v1/models/sleep', body)).status).toBe(200);
    }
    const before = await metric(port, 'vllm:generation_tokens_total');
    await sleep(4000);
    expect(await metric(port, 'vllm:generation_tokens_total')).toBe(before);
    expect(await metric(port, 'vllm:num_requests_waiting')).toBe(0);
    expect(await degradedOf('llama')).toBeUndefined();
    expect(await service.serverPids()).toEqual([pid]);
  });
});
