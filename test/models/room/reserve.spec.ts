import { ModelLoadError } from '../../../src/runners/errors.js';
import type { GpuNeeds } from '../../../src/runners/deployment.js';
import { House } from '../../fakes/house.js';
import { NeedyRunner } from '../../fakes/needy-runner.js';
import { settled, useFakeTime } from '../../fakes/timers.js';
import { jest } from '@jest/globals';

let runner: NeedyRunner;
let house: House;
let usedMiB: number;
/** MiB; of the others, 10,000. */
let totals: Map<number, number>;

beforeEach(async () => {
  useFakeTime();
  usedMiB = 0;
  totals = new Map();
  runner = new NeedyRunner();
  house = await House.withMemory({ runner }).boot();
  const sample = house.gpus.sample.bind(house.gpus);
  jest.spyOn(house.gpus, 'sample').mockImplementation(async () =>
    (await sample()).map((gpu) => ({
      ...gpu,
      memoryTotalMiB: totals.get(gpu.id) ?? 10_000,
      memoryUsedMiB: usedMiB,
    })),
  );
});
afterEach(() => {
  expect(house.defects()).toEqual([]);
  jest.useRealTimers();
});

const needs = (memoryMiB: number | null, policy: GpuNeeds['policy'] = 'shared'): GpuNeeds => ({
  memoryMiB,
  policy,
});

describe('room on a GPU', () => {
  it('two starts at once see each other: one is refused with the numbers, and leaves no trace', async () => {
    runner.needs = { A: needs(6000), B: needs(6000) };
    runner.hold('start');
    const answers = await Promise.allSettled([
      house.supervisor.start('A', 0, {}),
      house.supervisor.start('B', 0, {}),
    ]);
    expect(answers.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const refused = answers.find(({ status }) => status === 'rejected') as PromiseRejectedResult;
    expect(refused.reason).toMatchObject({ code: 'GPU_MEMORY_SHORT', kind: 'conflict' });
    expect((refused.reason as Error).message).toMatch(
      /needs 6000 MiB on GPU 0 \(configured\), and 4000 MiB are left: 10000 MiB in total − 0 MiB in use − 6000 MiB reserved for [AB]\. It is 2000 MiB short/,
    );
    expect(Object.keys(house.store.wanted())).toHaveLength(1);
    runner.letGo('start');
    await settled();
  });

  it('a model that is bigger than its GPU is told so, and which GPUs would do', async () => {
    runner.needs = { A: needs(12_000, 'exclusive'), B: needs(4000) };
    await house.supervisor.start('B', 1, {});
    await settled();
    totals.set(2, 16_000).set(3, 24_000);
    const words = (start: Promise<unknown>): Promise<string> => start.then(String, String);
    expect(await words(house.supervisor.start('A', 1, {}))).toMatch(
      /needs 12000 MiB \(configured\), and GPU 1 has 10000 MiB in all: it does not fit there, whatever is stopped\. By its size it fits on GPU 2 \(16000 MiB\), GPU 3 \(24000 MiB\): choose one of these\.$/,
    );
    totals.clear();
    const none = await words(house.supervisor.start('A', 1, {}));
    expect(none).toContain('It fits on no GPU of this host');
    expect(none).not.toMatch(/no one known|Stop one of these/);
    const forecast = await house.supervisor.foresee('A', 0, {});
    expect(forecast.refusal?.code).toBe('GPU_MEMORY_SHORT');
    expect(forecast.gpus.get(1)).toMatchObject({ placements: [], processes: [] });
  });

  it('where the driver names nobody, nobody is to be stopped', async () => {
    runner.needs = { A: needs(6000) };
    usedMiB = 5000;
    const words = await house.supervisor.start('A', 0, {}).then(String, String);
    expect(words).toMatch(/It is 1000 MiB short\. The driver names no process that holds the rest/);
    expect(words).not.toMatch(/no one known|Stop one of these/);
  });

  it('a start that could not be written down gives its room back', async () => {
    runner.needs = { A: needs(6000), B: needs(6000) };
    house.store.isFull = true;
    await expect(house.supervisor.start('A', 0, {})).rejects.toMatchObject({ code: 'STATE_WRITE_FAILED' });
    house.store.isFull = false;
    await house.supervisor.start('B', 0, {});
    expect(house.store.wanted()).toEqual({ B: ['0 serve'] });
    await settled();
  });

  it('what a failed start has left on the GPU is its own, and counts against nobody who takes it over', async () => {
    runner.needs = { A: needs(6000) };
    runner.hold('stop');
    runner.hold('start');
    await house.supervisor.start('A', 0, {});
    const call = await runner.nextCall('start');
    runner.phases.set(0, 'starting');
    runner.serverStays = true;
    await house.probe();
    call.fail(new ModelLoadError('no such layer'));
    await settled();
    expect(house.status()).toEqual(['A 0 ERROR']);
    usedMiB = 6000;
    house.gpus.processes.set(0, [{ pid: runner.pidOn(0), name: 'vllm', memoryMiB: 6000 }]);
    expect((await house.supervisor.start('A', 0, {})).placement?.status).toBe('STARTING');
    runner.letGo('stop');
    runner.letGo('start');
    await settled();
  });

  it('memory that cannot be read refuses nobody, and the policy still does', async () => {
    await house.running('B', 0);
    house.gpus.error = new Error('driver gone');
    runner.needs = { A: needs(60_000, 'exclusive') };
    await expect(house.supervisor.start('A', 0, {})).rejects.toMatchObject({ code: 'GPU_EXCLUSIVE' });
    await house.supervisor.start('A', 1, {});
    expect(house.store.wanted()).toEqual({ A: ['1 serve'], B: ['0 serve'] });
    await settled();
  });
});
