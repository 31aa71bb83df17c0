import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { containersOf, docker, removeContainersOf } from '../support/docker.js';
import { createRealTriton } from '../support/real-triton.js';
import { createRealVllm, vllmIsThere } from '../support/real-vllm.js';
import type { TestService } from '../support/service.js';
import { withEngine } from './triton-rig.js';

jest.setTimeout(400_000);

const SOON = {
  liveness: { progress_seconds: 3 },
  health: { fast_interval_ms: 100, slow_interval_ms: 300 },
};

interface Item {
  readonly status: string;
  readonly degraded?: string;
}

let service: TestService;

const statusOf = async (model: string): Promise<Item | undefined> =>
  (await service.get<Item[]>(`/api/v1/models/status/${model}`)).body[0];

async function untilDegraded(model: string, timeoutMs?: number): Promise<string> {
  let words = '';
  await service.until(async () => {
    const item = await statusOf(model);
    words = item?.status === 'RUNNING' ? (item.degraded ?? '') : '';
    return words !== '';
  }, timeoutMs);
  return words;
}

withEngine('F31: real Triton answers, and gets nothing done', () => {
  afterEach(async () => {
    await service.dispose();
    await removeContainersOf(service.instanceName);
  });

  const answer = async (model: string): Promise<number> => (await service.infer(model, [1, 2, 3, 4])).status;

  /** Host pids of the Python processes that compute for a model. */
  async function stubsOf(model: string): Promise<number[]> {
    const [container] = await containersOf(service.instanceName);
    const { Processes: rows, Titles: titles } = (await docker.getContainer(container?.Id ?? '').top()) as {
      Processes: string[][];
      Titles: string[];
    };
    const pidAt = titles.indexOf('PID');
    return rows
      .filter((row) => row.some((cell) => cell.includes(`python_backend_stub /models/${model}/`)))
      .map((row) => Number(row[pidAt]));
  }

  it('as its Python processes are killed: degraded, loaded anew in the same server, and it serves', async () => {
    service = await createRealTriton({}, { ...SOON, restart: { initial_delay_ms: 100 } });
    await service.boot();
    await service.start('MAM', 0);
    await service.start('FastFitAll', 1);
    await service.untilRunning('FastFitAll@1', 'MAM@0');
    expect(await answer('MAM')).toBe(200);
    const [before] = await containersOf(service.instanceName);
    const stubs = await stubsOf('MAM');
    expect(stubs).toHaveLength(2);
    for (const pid of stubs) process.kill(pid, 'SIGKILL');
    const statuses: number[] = [];
    let words: string | undefined;
    await service.until(async () => {
      words ??= (await statusOf('MAM'))?.degraded;
      statuses.push(await answer('MAM'));
      return words !== undefined && statuses.at(-1) === 200;
    }, 60_000);
    expect(statuses.filter((status) => status === 500).length).toBeGreaterThan(1);
    expect(words).toMatch(/^no request has succeeded for \d+ s, and \d+ have failed in the backend$/);
    expect((await containersOf(service.instanceName)).map(({ Id }) => Id)).toEqual([before?.Id]);
    await service.untilRunning('FastFitAll@1', 'MAM@0');
    expect(await answer('FastFitAll')).toBe(200);
  });

  it('as an execution never returns: degraded, the server started anew, and it serves', async () => {
    service = await createRealTriton(
      { model_gpu_configs: { MAM: { instances_per_gpu: 1 } } },
      { ...SOON, restart: { initial_delay_ms: 100 } },
    );
    const file = join(service.repository, 'MAM/1/model.py');
    const hangs = 'if values[0] == 666: __import__("time").sleep(3600)';
    const code = await readFile(file, 'utf8');
    await writeFile(file, code.replace(/( +)output = /, `$1${hangs}\n$1output = `));
    await service.boot();
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    const hung = [1, 2].map(() => service.infer('MAM', [666, 2, 3, 4]).catch(() => undefined));
    expect(await untilDegraded('MAM')).toMatch(/^nothing was done for \d+ s, and a request waits$/);
    await service.until(async () => (await statusOf('MAM'))?.status !== 'RUNNING', 30_000);
    await service.untilRunning('MAM@0');
    await Promise.all(hung);
    expect(await answer('MAM')).toBe(200);
  });

  it('of which the clients alone are to blame: nothing happens', async () => {
    service = await createRealTriton({}, SOON);
    await service.boot();
    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    const until = performance.now() + 8000;
    await service.until(async () => {
      const shape = [2];
      const wrong = await fetch(`http://127.0.0.1:${service.tritonPorts.http}/v2/models/MAM/infer`, {
        method: 'POST',
        headers: { Connection: 'close' },
        body: JSON.stringify({ inputs: [{ name: 'WRONG', datatype: 'FP32', shape, data: [1, 2] }] }),
      });
      expect(wrong.status).toBe(400);
      expect(await statusOf('MAM')).not.toHaveProperty('degraded');
      return performance.now() > until;
    }, 20_000);
  });
});

const withVllm = vllmIsThere() ? describe : describe.skip;

withVllm("F31: vLLM's own server answers, and gets nothing done", () => {
  afterEach(() => service.dispose());

  async function engineOf(leader: number): Promise<number> {
    for (const entry of await readdir('/proc')) {
      const stat = await readFile(`/proc/${entry}/stat`, 'utf8').catch(() => '');
      const [, , group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (group === String(leader) && stat.includes('(VLLM::EngineCor)')) return Number(entry);
    }
    throw new Error('vLLM has no engine');
  }

  async function completion(port: number): Promise<number> {
    const { status } = await fetch(`http://127.0.0.1:${port}/v1/completions`, {
      method: 'POST',
      headers: { Connection: 'close', 'Content-Type': 'application/json' },
      body: JSON.stringify({ model: 'tiny-llama', prompt: 'hello', max_tokens: 4 }),
      signal: AbortSignal.timeout(60_000),
    });
    return status;
  }

  it('as its engine is frozen while nobody asks: degraded by its canary, started anew, and it serves', async () => {
    service = await createRealVllm({ liveness: { progress_seconds: 10 } });
    await service.boot();
    await service.start('tiny', 0);
    await service.until(async () => (await statusOf('tiny'))?.status === 'RUNNING', 200_000);
    const [pid = 0] = await service.serverPids();
    process.kill(await engineOf(pid), 'SIGSTOP');
    expect(await untilDegraded('tiny', 60_000)).toMatch(/^nothing was done for \d+ s, and a request waits$/);
    await service.until(async () => {
      const [now] = await service.serverPids();
      return now !== undefined && now !== pid && (await statusOf('tiny'))?.status === 'RUNNING';
    }, 300_000);
    const { body } = await service.start('tiny', 0);
    expect(await completion(Number(body.port))).toBe(200);
  });
});
