import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fault } from '../../src/checks/check.js';
import { clockCheck } from '../../src/checks/clock-check.js';
import { resultsOf } from '../../src/checks/findings.js';
import { gpuCheck } from '../../src/checks/gpu-check.js';
import { portCheck } from '../../src/checks/port-check.js';
import { Clock } from '../../src/common/clock.js';
import type { GpuHealthInfo } from '../../src/gpus/gpus.dto.js';
import { sample } from '../gpus/rig.js';

const { signal } = new AbortController();
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mic-checks-'));
});
afterEach(() => rm(directory, { recursive: true }));

describe('ports of the configuration among those of outgoing connections', () => {
  async function exposed(range: string, reserved = ''): Promise<string[]> {
    await writeFile(join(directory, 'ip_local_port_range'), range);
    await writeFile(join(directory, 'ip_local_reserved_ports'), reserved);
    const claims = [
      { path: 'runners.triton.http_port', from: 8000, to: 8000 },
      { path: 'runners.vllm.ports', from: 18_600, to: 18_699 },
    ];
    const faults = await portCheck(claims, directory).run(signal);
    return faults.map(({ message }) => message.split(' ')[0] ?? '');
  }

  it.each([
    ['32768\t60999\n', '', []],
    ['1024\t65535\n', '', ['runners.triton.http_port', 'runners.vllm.ports']],
    ['18699\t30000\n', '', ['runners.vllm.ports']],
    ['1024\t65535\n', '8000,18600-18699\n', []],
    ['1024\t65535\n', '8000-8002,18600-18698', ['runners.vllm.ports']],
    ['', '', []],
  ])('range %j, reserved %j: %j', async (range, reserved, paths) => {
    expect(await exposed(range, reserved)).toEqual(paths);
  });
});

describe('the clock', () => {
  class SetClock extends Clock {
    constructor(private readonly date: Date) {
      super();
    }
    now(): Date {
      return this.date;
    }
    monotonicMs(): number {
      return 0;
    }
  }
  const wordsAt = async (date: Date): Promise<string> =>
    (await clockCheck(new SetClock(date), directory).run(signal)).map(({ message }) => message).join();

  it('is wrong before the program was built, and before the last state', async () => {
    expect(await wordsAt(new Date())).toBe('');
    expect(await wordsAt(new Date('1970-01-01T00:00:10Z'))).toMatch(/before this program was built/);
    const state = join(directory, 'desired-state.json');
    await writeFile(state, '');
    const future = new Date(Date.now() + 3_600_000);
    await utimes(state, future, future);
    expect(await wordsAt(new Date())).toMatch(/before the state was last written/);
    expect(await wordsAt(new Date(future.getTime() - 1000))).toBe('');
  });
});

describe('the GPUs', () => {
  it('that cannot be read, or must not be used, are told one by one', async () => {
    const samples = [
      sample(),
      sample({ id: 1, error: 'GPU 1 cannot be read: GPU is lost' }),
      sample({ id: 2 }),
      sample({ id: 3 }),
    ];
    const cordoned = { status: 'cordoned', reason: 'its fan rattles', since: null, by: 'operator' } as const;
    const well = { status: 'ok', reason: null, since: null, by: null } as const;
    const bad = {
      status: 'unhealthy',
      reason: 'a row could not be remapped',
      since: null,
      by: null,
    } as const;
    const known = new Map<number, GpuHealthInfo>([
      [2, cordoned],
      [3, bad],
    ]);
    const health = { of: ({ id }: { id: number }) => known.get(id) ?? well };
    const faults = await gpuCheck({ list: () => Promise.resolve(samples) }, health, {}).run(signal);
    expect(faults.map(({ line }) => line)).toEqual([
      'GPU 1 cannot be read: GPU is lost. See what `nvidia-smi` says of it.',
      'GPU 2 is cordoned: its fan rattles. Mend it, then POST /api/v1/gpus/2/uncordon.',
      'GPU 3 is unhealthy: a row could not be remapped. Mend it; POST /api/v1/gpus/3/cordon keeps models off it until then, and /uncordon says that you know of it.',
    ]);
  });
});

describe('the policies of GPUs', () => {
  it.each([
    [{ default: 'exclusive', '0': 'exclusive', 'GPU-b': 'shared' } as const, []],
    [{ '7': 'exclusive' } as const, ['gpus.policies.7']],
    [{ 'GPU-none': 'exclusive', '2': 'shared' } as const, ['gpus.policies.2', 'gpus.policies.GPU-none']],
  ])('%j: of GPUs that are not there, %j', async (policies, keys) => {
    const samples = [sample({ id: 0, uuid: 'GPU-a' }), sample({ id: 1, uuid: 'GPU-b' })];
    const health = { of: () => ({ status: 'ok', reason: null, since: null, by: null }) as const };
    const faults = await gpuCheck({ list: () => Promise.resolve(samples) }, health, policies).run(signal);
    expect(faults.map(({ message }) => message.split(' ')[0]).sort()).toEqual(keys);
    for (const { message } of faults)
      expect(message).toMatch(/there is no GPU \S+ on this host\. GPUs: 0, 1\.$/);
  });
});

describe('the results of checks', () => {
  it('say the same fault of each backend that has it', () => {
    const missing = (model: string) => fault('Image nosuch:1 is not there.', 'Pull it.', [model]);
    const results = resultsOf([
      { name: 'triton.image', faults: [missing('MAM')] },
      { name: 'triton.paths', faults: [missing('MAM')] },
      { name: 'vllm.image', faults: [missing('llama')] },
    ]);
    expect(results.map(({ name, models }) => [name, models])).toEqual([
      ['triton.image', ['MAM']],
      ['vllm.image', ['llama']],
    ]);
  });

  it('say a fault of one backend again where it is of other models', () => {
    const results = resultsOf([
      { name: 'a.repository', faults: [fault('No /x.', 'Make it.', ['A'])] },
      { name: 'a.paths', faults: [fault('No /x.', 'Make it.', ['A', 'B'])] },
    ]);
    expect(results.map(({ name, models }) => [name, models])).toEqual([
      ['a.repository', ['A']],
      ['a.paths', ['A', 'B']],
    ]);
  });

  it('say each fault once, with all models, and that the others are well', () => {
    const missing = (model: string) => fault('No image.', 'Pull it.', [model]);
    const results = resultsOf([
      { name: 'a.image', faults: [missing('B')] },
      { name: 'a.image', faults: [missing('A')] },
      { name: 'a.paths', faults: [missing('A')] },
      { name: 'clock', faults: [] },
      { name: 'b.ports', faults: [], unknown: 'no answer' },
    ]);
    expect(results.map(({ name, status, message, models }) => [name, status, message, models])).toEqual([
      ['a.image', 'warn', 'No image.', ['A', 'B']],
      ['clock', 'ok', null, []],
      ['b.ports', 'unknown', 'no answer', []],
    ]);
  });
});
