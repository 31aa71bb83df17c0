import { describe, expect, it, jest } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { processesOf } from '../support/processes.js';
import { boot, completion, isAtWork, service, started, useVllm } from '../support/vllm-service.js';

jest.setTimeout(40_000);
useVllm();

/** Requests that the server itself says it has in hand. */
async function load(port: number): Promise<number> {
  const { server_load: count } = (await (await fetch(`http://127.0.0.1:${port}/load`)).json()) as {
    server_load: number;
  };
  return count;
}

async function argvOf(port: number): Promise<string[]> {
  const { argv } = (await (await fetch(`http://127.0.0.1:${port}/launched-with`)).json()) as {
    argv: string[];
  };
  return argv;
}

describe('F34: a request in its first step, which is in no gauge of vLLM', () => {
  it('is worked off by a drain', async () => {
    await boot({ llama: { model: 'standin?prefill_ms=5000' } });
    const { port } = await started('llama', 0);
    const request = completion(port, 'llama', 1);
    await service.until(async () => (await load(port)) === 1);
    expect(await isAtWork(port)).toBe(false);
    const stop = await service.stop('llama', 0, { drain_seconds: 20 });
    expect(await request).toBe(200);
    expect(stop).toMatchObject({ status: 200, body: { status: 'STOPPED', drained: true } });
    expect(stop.body).not.toHaveProperty('drain_reason');
  });

  it('is finished within the grace of a stop without a drain', async () => {
    await boot({ llama: { model: 'standin?prefill_ms=1500' } }, {}, { stop_grace_seconds: 9 });
    const { port } = await started('llama', 0);
    expect(await argvOf(port)).toEqual(expect.arrayContaining(['--shutdown-timeout', '4']));
    const request = completion(port, 'llama', 1);
    await service.until(async () => (await load(port)) === 1);
    expect((await service.stop('llama', 0)).status).toBe(200);
    expect(await request).toBe(200);
    expect(await processesOf(service.stateDir)).toEqual([]);
  });
});

describe('F34: an early version of vLLM, which does not have these flags', () => {
  it('is served without them, also where several find that out at once', async () => {
    await boot(
      { one: { model: 'standin?old=1' }, two: { model: 'standin?old=1' } },
      { restart: { max_attempts: 1, initial_delay_ms: 30_000 } },
    );
    await Promise.all([service.start('one', 0), service.start('two', 1)]);
    await service.untilRunning('one@0', 'two@1');
  });

  it('is served without them, and counts no try', async () => {
    await boot(
      { llama: { model: 'standin?old=1' } },
      { restart: { max_attempts: 1, initial_delay_ms: 30_000 } },
      { stop_grace_seconds: 9 },
    );
    const { port } = await started('llama', 0);
    const argv = await argvOf(port);
    expect(argv).not.toContain('--enable-server-load-tracking');
    expect(argv).not.toContain('--shutdown-timeout');
    await service.start('llama', 1);
    await service.untilRunning('llama@0', 'llama@1');
    const journal = await readFile(join(service.directory, 'journal'), 'utf8');
    expect(journal.match(/loading/g)).toHaveLength(2);

    const request = completion(port, 'llama', 100);
    await service.until(() => isAtWork(port));
    expect(await service.stop('llama', 0, { drain_seconds: 20 })).toMatchObject({ body: { drained: true } });
    expect(await request).toBe(200);
  });
});
