import { describe, expect, it, jest } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { processesOf } from '../support/processes.js';
import {
  boot,
  completion,
  isAtWork,
  placementOf,
  service,
  started,
  useVllm,
} from '../support/vllm-service.js';

jest.setTimeout(40_000);
useVllm();

describe('vLLM as a backend', () => {
  it('kill -9 of the API server alone: its engine is ended before the next one starts', async () => {
    await boot({ llama: { model: 'standin' } });
    const { pid } = await started('llama', 0);
    const engines = (await processesOf(service.stateDir)).filter((each) => each !== pid);
    expect(engines).toHaveLength(1);
    process.kill(pid, 'SIGKILL');
    await service.until(async () => {
      const now = await placementOf('llama');
      return now.status === 'RUNNING' && now.pid !== null && now.pid !== pid;
    });
    const after = await processesOf(service.stateDir);
    expect(after).toHaveLength(2);
    expect(after).not.toContain(engines[0]);
    const { port } = await placementOf('llama');
    expect(await completion(port, 'llama', 1)).toBe(200);
  });

  it('a stop after that ends the engine, too', async () => {
    await boot({ llama: { model: 'standin' } }, { restart: { initial_delay_ms: 30_000 } });
    const { pid } = await started('llama', 0);
    process.kill(pid, 'SIGKILL');
    expect((await service.stop('llama', 0)).status).toBe(200);
    expect(await processesOf(service.stateDir)).toEqual([]);
  });

  it('a context longer than the model has is ERROR at once: it is not launched again', async () => {
    await boot({ llama: { model: 'standin?fail=length' } });
    await service.start('llama', 0);
    expect(await service.untilError('llama')).toMatchObject({
      code: 'SERVER_LOST',
      message: expect.stringMatching(/ModelConfig Value error, User-specified max_model_len \(100000\)/),
    });
    expect(await readFile(join(service.directory, 'journal'), 'utf8')).toBe('loading llama\n');
  });

  it('a start that fails says the cause that the engine wrote, with the last lines of the log', async () => {
    await boot({ llama: { model: 'standin?fail=memory' } });
    await service.start('llama', 0);
    const { code, message, log } = await service.untilError('llama');
    expect(code).toBe('SERVER_LOST');
    expect(message).toContain(
      'ValueError: Free memory on device cuda:0 (3.1/23.5 GiB) on startup is less than',
    );
    expect(message).not.toContain('See root cause above');
    expect(log?.at(-1)).toContain('Engine core initialization failed');
    expect(await processesOf(service.stateDir)).toEqual([]);
  });

  it('one that freezes is recycled, and nothing of it is left', async () => {
    await boot(
      { llama: { model: 'standin' } },
      { liveness: { deadline_seconds: 2 }, health: { probe_timeout_ms: 500 } },
    );
    const { pid } = await started('llama', 0);
    const before = await processesOf(service.stateDir);
    process.kill(pid, 'SIGSTOP');
    await service.until(async () => {
      const now = await placementOf('llama');
      return now.status === 'RUNNING' && now.pid !== null && now.pid !== pid;
    }, 20_000);
    const after = await processesOf(service.stateDir);
    expect(after).toHaveLength(2);
    expect(after.filter((each) => before.includes(each))).toEqual([]);
  });

  it('one that heeds no SIGTERM is forced after its grace', async () => {
    await boot({ llama: { model: 'standin?deaf=1' } });
    await started('llama', 0);
    expect((await service.stop('llama', 0)).status).toBe(200);
    expect(await processesOf(service.stateDir)).toEqual([]);
  });

  it('goes on coming up while the service is killed: one server, one load', async () => {
    await boot({ llama: { model: 'standin?load_ms=3000' } });
    expect((await service.start('llama', 0)).status).toBe(202);
    await service.until(async () => (await processesOf(service.stateDir)).length === 2);
    const before = await processesOf(service.stateDir);
    await service.end('SIGKILL');
    await service.boot();
    await service.untilRunning('llama@0');
    expect(await processesOf(service.stateDir)).toEqual(before);
  });

  it('is stopped after all when the service is killed in the middle of a drain', async () => {
    await boot({ llama: { model: 'standin', drain_seconds: 30 } });
    const { port } = await started('llama', 0);
    const request = completion(port, 'llama', 1500);
    await service.until(() => isAtWork(port));
    const stopping = service.stop('llama', 0).catch(() => undefined);
    await service.until(async () => (await service.desired()).length === 0);
    await service.end('SIGKILL');
    await stopping;
    await service.boot();
    await service.until(async () => (await service.placements()).length === 0);
    expect(await processesOf(service.stateDir)).toEqual([]);
    await request;
  });

  it('serves on while the service is killed, and is found again with its pid', async () => {
    await boot({ llama: { model: 'standin' } });
    const { pid, port } = await started('llama', 0);
    await service.end('SIGKILL');
    expect(await completion(port, 'llama', 1)).toBe(200);
    await service.boot();
    await service.untilRunning('llama@0');
    expect(await placementOf('llama')).toMatchObject({ pid, port });
    expect((await service.stop('llama', 0)).status).toBe(200);
    expect(await processesOf(service.stateDir)).toEqual([]);
  });
});
