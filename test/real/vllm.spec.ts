import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it, jest, describe } from '@jest/globals';
import {
  createRealVllm,
  createSleepyVllm,
  createSlowVllm,
  SLOW_CONTEXT,
  vllmIsThere,
} from '../support/real-vllm.js';
import type { TestService } from '../support/service.js';

jest.setTimeout(300_000);

/** On two cores that other tests share, too. */
const READY_MS = 200_000;

interface PlacementView {
  readonly pid: number | null;
  readonly port: number;
  readonly status: string;
}

let service: TestService;
/** Every process seen in the group of a server. */
const seen = new Set<number>();

/** Processes, not zombies, in the process group of `leader`; vLLM's hide their environment. */
async function groupOf(leader: number): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry)).map(Number);
  const members = await Promise.all(
    pids.map(async (pid) => {
      const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
      const [state, , group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return group === String(leader) && state !== 'Z';
    }),
  );
  const found = pids.filter((_, index) => members[index]);
  for (const pid of found) seen.add(pid);
  return found;
}

/** What a start of a model that is started already answers. */
async function placement(): Promise<PlacementView> {
  const { body } = await service.start('tiny', 0);
  const [first] = body.placements as PlacementView[];
  if (!first) throw new Error('no placement');
  return first;
}

async function untilRunning(notPid?: number): Promise<{ pid: number; port: number }> {
  let now: PlacementView = { pid: null, port: 0, status: '' };
  await service.until(async () => {
    now = await placement();
    return now.status === 'RUNNING' && now.pid !== null && now.pid !== notPid;
  }, READY_MS);
  return { pid: now.pid ?? 0, port: now.port };
}

/** `count` completions of `tokens` tokens in one request; its status, and the tokens that came. */
async function completion(port: number, tokens: number, count = 1): Promise<[number, number | undefined]> {
  const response = await fetch(`http://127.0.0.1:${port}/v1/completions`, {
    method: 'POST',
    headers: { Connection: 'close', 'Content-Type': 'application/json' },
    body: JSON.stringify({
      ...{ model: 'tiny-llama', prompt: 'hello', max_tokens: tokens },
      ...{ n: count, ignore_eos: true },
    }),
    signal: AbortSignal.timeout(120_000),
  });
  const body = (await response.json()) as { usage?: { completion_tokens: number } };
  return [response.status, body.usage?.completion_tokens];
}

/** One token after a prompt that takes it seconds, in one step; the status. */
async function prefill(port: number): Promise<number> {
  const prompt = Array.from({ length: SLOW_CONTEXT - 100 }, (_, index) => 3 + (index % 200));
  const { status } = await fetch(`http://127.0.0.1:${port}/v1/completions`, {
    method: 'POST',
    headers: { Connection: 'close', 'Content-Type': 'application/json' },
    body: JSON.stringify({ model: 'tiny-llama', prompt, max_tokens: 1, ignore_eos: true }),
    signal: AbortSignal.timeout(200_000),
  });
  return status;
}

/** Requests that the server itself says it has in hand. */
async function load(port: number): Promise<number> {
  const answer = await (await fetch(`http://127.0.0.1:${port}/load`)).json();
  return (answer as { server_load: number }).server_load;
}

/** What it says to a prompt, without chance. */
async function says(port: number): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/v1/completions`, {
    method: 'POST',
    headers: { Connection: 'close', 'Content-Type': 'application/json' },
    body: JSON.stringify({ model: 'tiny-llama', prompt: 'hello', max_tokens: 16, temperature: 0 }),
    signal: AbortSignal.timeout(60_000),
  });
  const body = (await response.json()) as { choices: { text: string }[] };
  return body.choices[0]?.text ?? '';
}

async function rest(what: 'sleep' | 'wake', level?: number): Promise<[number, boolean | undefined]> {
  const body = { model_name: 'tiny', gpu_id: 0, ...(level !== undefined && { level }) };
  const answer = await service.call('POST', `/api/v1/models/${what}`, body);
  return [answer.status, (answer.body.placements as { sleeping?: boolean }[] | undefined)?.[0]?.sleeping];
}

async function running(port: number): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return Number(/^vllm:num_requests_running\S+ (\S+)$/m.exec(metrics)?.[1]);
}

/** `count` completions that the server was seen at; of those that it ended between two looks, the next are asked for. */
async function seenAtWork(
  port: number,
  count: number,
): Promise<{ readonly end: ReturnType<typeof completion> }> {
  for (let tries = 0; tries < 5; tries += 1) {
    const end = completion(port, 240, count);
    const seen = { atWork: false, ended: false };
    const noteEnd = (): void => {
      seen.ended = true;
    };
    end.then(noteEnd, noteEnd);
    await service.until(async () => {
      seen.atWork = (await running(port)) > 0;
      return seen.atWork || seen.ended;
    }, 100_000);
    if (seen.atWork) return { end };
    expect(await end).toEqual([200, 240 * count]);
  }
  throw new Error('vLLM was never seen at work');
}

const withVllm = vllmIsThere() ? describe : describe.skip;

withVllm("vLLM's own server, on the CPU", () => {
  afterEach(async () => {
    const leaders = await service.serverPids();
    await Promise.all(leaders.map((leader) => groupOf(leader)));
    await service.dispose();
    for (const pid of seen) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended, as it should.
      }
    }
    seen.clear();
  });

  it('starts, completes, is brought back after kill -9 of its API server, drains and stops', async () => {
    service = await createRealVllm();
    await service.boot();
    expect(await service.start('tiny', 0)).toMatchObject({ status: 202, body: { status: 'STARTING' } });
    const first = await untilRunning();
    expect(await completion(first.port, 8)).toEqual([200, 8]);

    const engines = (await groupOf(first.pid)).filter((pid) => pid !== first.pid);
    expect(engines.length).toBeGreaterThanOrEqual(2);
    process.kill(first.pid, 'SIGKILL');
    let aliveAtLaunch: number[] | undefined;
    await service.until(async () => {
      const [pid] = await service.serverPids();
      if (pid === undefined || pid === first.pid) return false;
      aliveAtLaunch = await groupOf(first.pid);
      return true;
    }, 60_000);
    expect(aliveAtLaunch).toEqual([]);
    const second = await untilRunning(first.pid);
    expect(await completion(second.port, 8)).toEqual([200, 8]);

    const request = await seenAtWork(second.port, 128);
    expect((await groupOf(second.pid)).length).toBeGreaterThanOrEqual(3);
    const stopping = service.stop('tiny', 0, { drain_seconds: 60 });
    expect(await request.end).toEqual([200, 240 * 128]);
    expect(await stopping).toMatchObject({ status: 200, body: { status: 'STOPPED' } });
    expect(await groupOf(second.pid)).toEqual([]);
    expect(await service.serverPids()).toEqual([]);
  });

  it('sleeps when its requests are worked off, lets none in until it wakes, and says the same as before', async () => {
    service = await createSleepyVllm();
    await service.boot();
    await service.start('tiny', 0);
    const { pid, port } = await untilRunning();
    const before = await says(port);

    const request = await seenAtWork(port, 256);
    const asleep = rest('sleep');
    expect(await request.end).toEqual([200, 240 * 256]);
    expect(await asleep).toEqual([200, true]);
    expect(await rest('sleep')).toEqual([200, true]);
    let answered = false;
    const waiting = says(port).finally(() => (answered = true));
    await service.end('SIGKILL');
    await service.boot();
    await service.until(async () => {
      const { body } = await service.get<{ sleeping?: boolean }[]>('/api/v1/models/status/tiny');
      return body[0]?.sleeping === true;
    }, 30_000);
    expect(answered).toBe(false);
    expect(await rest('wake')).toEqual([200, undefined]);
    expect(await waiting).toBe(before);

    expect(await rest('sleep', 2)).toEqual([200, true]);
    expect(await rest('wake')).toEqual([200, undefined]);
    expect(await rest('wake')).toEqual([200, undefined]);
    expect(await says(port)).toBe(before);
    expect(await placement()).toMatchObject({ pid, status: 'RUNNING' });

    expect(await rest('sleep', 2)).toEqual([200, true]);
    says(port).catch(() => undefined);
    expect(await service.stop('tiny', 0, { drain_seconds: 100 })).toMatchObject({ status: 200 });
    expect(await groupOf(pid)).toEqual([]);
  });

  it.each<[string, { drain_seconds?: number }]>([
    ['in a drain', { drain_seconds: 120 }],
    ['within the grace of a stop', {}],
  ])('works off a request in its first step, which is in no gauge: %s', async (_, asked) => {
    const directory = await mkdtemp(join(tmpdir(), 'mic-vllm-'));
    try {
      service = await createSlowVllm(directory);
      service.limitMs = 150_000;
      await service.boot();
      expect(await service.start('tiny', 0)).toMatchObject({ status: 202 });
      const { pid, port } = await untilRunning();
      let isAnswered = false;
      const request = prefill(port).finally(() => (isAnswered = true));
      await service.until(async () => (await load(port)) === 1);
      expect([await running(port), isAnswered]).toEqual([0, false]);
      const stop = await service.stop('tiny', 0, asked);
      expect(await request).toBe(200);
      expect(stop).toMatchObject({ status: 200, body: { status: 'STOPPED' } });
      expect(stop.body.drained).toBe(asked.drain_seconds === undefined ? undefined : true);
      expect(await groupOf(pid)).toEqual([]);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it('that cannot start says why in its own words', async () => {
    service = await createRealVllm();
    await service.boot();
    await service.start('impossible', 0);
    const { code, message, log } = await service.untilError('impossible', READY_MS);
    expect(code).toBe('SERVER_LOST');
    expect(message).toMatch(/max_model_len \(100000\) is greater than the derived max_model_len/);
    expect(log?.length).toBeGreaterThan(5);
  });
});
