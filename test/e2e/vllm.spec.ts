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
  it('is started, serves under its own name on its own port, and leaves no process behind', async () => {
    await boot({ llama: { model: 'standin', served_model_name: 'meta/llama', max_model_len: 512 } });
    expect((await service.get('/api/v1/models/supported')).body).toMatchObject({ llama: 'vllm' });
    const { port } = await started('llama', 0, { dtype: 'bfloat16', gpu_memory_utilization: 0.5 });
    const launched = (await (await fetch(`http://127.0.0.1:${port}/launched-with`)).json()) as {
      argv: string[];
    };
    expect(launched).toEqual({
      argv: [
        ...['serve', 'standin', '--host', '127.0.0.1', '--port', String(port)],
        ...['--served-model-name', 'meta/llama', '--enable-server-load-tracking'],
        ...['--dtype', 'bfloat16', '--max-model-len', '512'],
        ...['--gpu-memory-utilization', '0.5'],
      ],
      cuda: '0',
    });
    expect(await completion(port, 'meta/llama', 1)).toBe(200);
    expect(await processesOf(service.stateDir)).toHaveLength(2);

    expect(await service.stop('llama', 0)).toMatchObject({ status: 200, body: { status: 'STOPPED' } });
    expect(await processesOf(service.stateDir)).toEqual([]);
  });

  it('refuses what is no option or no GPU, and starts nothing', async () => {
    await boot({ llama: { model: 'standin' } });
    for (const [config, words] of [
      [{ dtype: 'int3' }, 'dtype'],
      [{ gpu_memory_utilization: 1.2 }, 'gpu_memory_utilization'],
      [{ gpu_memory_utilization: 0 }, 'gpu_memory_utilization'],
      [{ max_model_len: '1; reboot' }, 'max_model_len'],
      [{ gpu_ids: [0, 0] }, 'twice'],
      [{ gpu_ids: [0, -1] }, 'gpu_ids'],
      [{ gpu_ids: [0, 99] }, 'GPU 99'],
      [{ gpu_ids: [1, 2] }, 'GPU 0'],
      [{ extra_args: ['--trust-remote-code'] }, 'extra_args is no option of vllm'],
    ] as const) {
      const { status, body } = await service.start('llama', 0, config);
      expect([status, body.detail]).toEqual([400, expect.stringContaining(words)]);
    }
    expect(await processesOf(service.stateDir)).toEqual([]);
  });

  it('one server over several GPUs is one placement, and the model takes no other', async () => {
    await boot({ llama: { model: 'standin' } });
    expect((await service.start('llama', 0, { gpu_ids: [2, 0] })).status).toBe(202);
    await service.untilRunning('llama@0', 'llama@2');
    const { port } = await placementOf('llama');
    const launched = (await (await fetch(`http://127.0.0.1:${port}/launched-with`)).json()) as {
      argv: string[];
      cuda: string;
    };
    expect(launched.argv.slice(-2)).toEqual(['--tensor-parallel-size', '2']);
    expect(launched.cuda).toBe('0,2');
    expect(await service.placements()).toEqual(['llama@0:RUNNING', 'llama@2:RUNNING']);
    expect((await service.get('/api/v1/models/status/llama')).body).toMatchObject([
      { gpu_id: 0, gpu_ids: [0, 2] },
      { gpu_id: 2, gpu_ids: [0, 2] },
    ]);
    const there = await service.start('llama', 2);
    expect(there).toMatchObject({ status: 202, body: { status: 'RUNNING', active_gpu_ids: [0, 2], port } });
    const elsewhere = await service.start('llama', 1);
    expect(elsewhere).toMatchObject({ status: 409, body: { code: 'PLACEMENT_OVERLAP' } });
    interface Gpu {
      processes: { pid: number; placement: string }[];
    }
    // A reading is some hundred ms old at the most.
    await service.until(async () => {
      const { body: gpus } = await service.get<Gpu[]>('/api/v1/gpus');
      return [0, 2].every((gpu) => gpus[gpu]?.processes[0]?.placement === 'llama@0');
    });
    expect(await service.stop('llama', 2)).toMatchObject({
      status: 200,
      body: { status: 'STOPPED', active_gpu_ids: [], placements: [{ gpu_id: 0 }, { gpu_id: 2 }] },
    });
    expect(await service.placements()).toEqual([]);
    expect(await processesOf(service.stateDir)).toEqual([]);
  });

  it('/health alone does not make it RUNNING', async () => {
    await boot({ llama: { model: 'standin?models=500' } });
    await service.start('llama', 0);
    await service.until(async () => {
      const { body } = await service.get<{ progress?: string }[]>('/api/v1/models/status/llama');
      return (await processesOf(service.stateDir)).length === 2 && body[0]?.progress !== undefined;
    });
    const { port } = await placementOf('llama');
    await service.until(
      async () => (await fetch(`http://127.0.0.1:${port}/health`).catch(() => undefined))?.status === 200,
    );
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(await service.placements()).toEqual(['llama@0:STARTING']);
    expect((await service.stop('llama', 0)).status).toBe(200);
    expect(await processesOf(service.stateDir)).toEqual([]);
  });

  it('works requests off in a drain, and cuts them off by force', async () => {
    await boot({ llama: { model: 'standin', drain_seconds: 20 } });
    const { port } = await started('llama', 0);
    const request = completion(port, 'llama', 100);
    await service.until(() => isAtWork(port));
    const stopping = service.stop('llama', 0);
    expect(await request).toBe(200);
    expect((await stopping).status).toBe(200);

    const again = await started('llama', 0);
    const cutOff = completion(again.port, 'llama', 1500);
    await service.until(() => isAtWork(again.port));
    const draining = service.stop('llama', 0);
    await service.until(async () => (await service.desired()).length === 0);
    expect((await service.stop('llama', 0, { force: true })).status).toBe(200);
    expect(await cutOff).toBe(0);
    expect((await draining).status).toBe(200);
    expect(await processesOf(service.stateDir)).toEqual([]);
  });

  it('two models that start on one GPU come up one after another, on two GPUs side by side', async () => {
    await boot({
      first: { model: 'standin?load_ms=700' },
      second: { model: 'standin?load_ms=700' },
      third: { model: 'standin?load_ms=700' },
    });
    await Promise.all([service.start('first', 0), service.start('second', 0), service.start('third', 1)]);
    await service.untilRunning('first@0', 'second@0', 'third@1');
    const journal = (await readFile(join(service.directory, 'journal'), 'utf8')).trim().split('\n');
    const onGpu0 = journal.filter((line) => !line.endsWith('third')).map((line) => line.split(' '));
    expect(onGpu0.map(([what]) => what)).toEqual(['loading', 'ready', 'loading', 'ready']);
    expect(onGpu0[0]?.[1]).toBe(onGpu0[1]?.[1]);
    expect(journal.findIndex((line) => line === 'loading third')).toBeLessThan(2);
  });
});
