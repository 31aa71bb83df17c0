import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { GpuCordonedError } from '../../src/gpus/health/errors.js';
import { StateWriteError } from '../../src/state/desired-state.store.js';
import { desired } from '../fakes/memory-store.js';
import { House } from '../fakes/house.js';
import { NeedyRunner } from '../fakes/needy-runner.js';
import { pass, settled, useFakeTime } from '../fakes/timers.js';
import { house, moveHouse, useHouse } from './house-rig.js';

/** An operator cordons the GPU that has this index now. */
async function cordon(id: number, reason?: string): Promise<void> {
  const gpu = (await readGpus()).find((each) => each.id === id);
  await house.cordons.cordon(gpu ?? { id, uuid: null }, reason);
}

async function uncordon(id: number): Promise<void> {
  const gpu = (await readGpus()).find((each) => each.id === id);
  await house.cordons.uncordon(gpu ?? { id, uuid: null });
}

async function readGpus(): Promise<readonly { id: number; uuid: string | null }[]> {
  return house.gpus.sample();
}

describe('a GPU that an operator has cordoned', () => {
  useHouse();

  it('takes no start: refused before anything is asked, with the reason and the remedy', async () => {
    await cordon(1, 'its fan rattles');
    house.runner.preflightError = new Error('nobody asked for this');
    const refused = house.supervisor.start('A', 1, {});
    await expect(refused).rejects.toThrow(GpuCordonedError);
    await expect(refused).rejects.toThrow(/GPU 1 is cordoned since .* its fan rattles\. .*gpus\/1\/uncordon/);
    expect(house.runner.calls).toEqual([]);
    expect(house.status()).toEqual([]);
  });

  it('is told by a plan, for the start and for each GPU', async () => {
    await cordon(1);
    const plan = await house.supervisor.foresee('A', 1, {});
    expect(plan).toMatchObject({ would: 'refuse', refusal: { code: 'GPU_CORDONED' } });
    const elsewhere = await house.supervisor.foresee('A', 0, {});
    expect(elsewhere.would).toBe('start');
    expect([...elsewhere.gpus].map(([id, { refusal }]) => [id, refusal?.code])).toEqual([
      [0, undefined],
      [1, 'GPU_CORDONED'],
      [2, undefined],
      [3, undefined],
    ]);
  });

  it('refuses a start that was checked before the cordon', async () => {
    const preflight = house.runner.preflight.bind(house.runner);
    house.runner.preflight = async () => {
      await preflight();
      await cordon(1);
    };
    await expect(house.supervisor.start('A', 1, {})).rejects.toThrow(GpuCordonedError);
    expect(house.status()).toEqual([]);
  });

  it('takes starts again once it is uncordoned', async () => {
    await cordon(1);
    await uncordon(1);
    await house.running('A', 1);
    expect(house.status()).toEqual(['A 1 RUNNING']);
  });

  it('leaves alone what runs there, and a start of it is none', async () => {
    await house.running('A', 1);
    await cordon(1);
    await house.probe();
    expect(house.status()).toEqual(['A 1 RUNNING']);
    await house.supervisor.start('A', 1, {});
    expect(house.runner.calls).toEqual([]);
  });

  it('brings nothing back that dies there: an ERROR with the cause; what is elsewhere comes back', async () => {
    await house.running('A', 0, 1);
    await cordon(1, 'its fan rattles');
    house.runner.world.set('A', new Set());
    await house.probe();
    await pass(5000);
    expect(house.placement('A', 0)).toEqual({ status: 'RUNNING' });
    expect(house.placement('A', 1)).toMatchObject({
      status: 'ERROR',
      error: expect.stringMatching(/^GPU_CORDONED: .*its fan rattles.*not brought back/),
    });
    await uncordon(1);
    await house.supervisor.start('A', 1, {});
    await settled();
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
  });

  it('is the same GPU after indices have shifted', async () => {
    await cordon(2);
    house.gpus.uuids = ['GPU-0', 'GPU-2', 'GPU-3'];
    await pass(10_000);
    await expect(house.supervisor.start('A', 1, {})).rejects.toThrow(GpuCordonedError);
    await house.running('A', 2);
    expect(house.cordonsStore.saved.cordons).toMatchObject([{ gpu_id: 1, gpu_uuid: 'GPU-2' }]);
  });

  it('keeps its time when it is cordoned again; a new reason counts, and nothing said leaves it', async () => {
    await cordon(1, 'one');
    const [before] = house.cordonsStore.saved.cordons;
    await pass(1000);
    await cordon(1);
    expect(house.cordonsStore.saved.cordons).toEqual([before]);
    await cordon(1, 'two');
    expect(house.cordonsStore.saved.cordons).toEqual([{ ...before, reason: 'two' }]);
    await uncordon(1);
    await uncordon(1);
    expect(house.cordonsStore.saved.cordons).toEqual([]);
  });

  it('is not cordoned where that cannot be written, and stays so where the end cannot', async () => {
    house.cordonsStore.isFull = true;
    await expect(cordon(1)).rejects.toThrow(StateWriteError);
    expect(house.cordons.of({ id: 1, uuid: 'GPU-1' })).toBeUndefined();
    house.cordonsStore.isFull = false;
    await cordon(1);
    house.cordonsStore.isFull = true;
    await expect(uncordon(1)).rejects.toThrow(StateWriteError);
    expect(house.cordons.of({ id: 1, uuid: 'GPU-1' })).toBeDefined();
  });
});

describe('after a restart of the service', () => {
  const since = '2024-01-01T00:00:00.000Z';
  const cordoned = { gpu_uuid: 'GPU-1', gpu_id: 1, reason: 'old', by: 'operator', since } as const;

  beforeEach(useFakeTime);
  afterEach(() => {
    expect(house.defects()).toEqual([]);
    jest.useRealTimers();
  });

  async function boot(runner: NeedyRunner): Promise<void> {
    const state = [desired('A', [{ gpu_id: 1, gpus: [{ gpu_id: 1, gpu_uuid: 'GPU-1' }], wanted: 'serve' }])];
    const next = House.withMemory({ runner, state });
    next.cordonsStore.saved = { cordons: [cordoned], acknowledged: [] };
    await next.boot();
    expect(next.status()).toHaveLength(1);
    await moveHouse(next);
  }

  it('what serves on a cordoned GPU serves on', async () => {
    const runner = new NeedyRunner();
    runner.world.set('A', new Set([1]));
    await boot(runner);
    expect(house.status()).toEqual(['A 1 RUNNING']);
  });

  it('what has died there meanwhile is an ERROR', async () => {
    await boot(new NeedyRunner());
    expect(house.status()).toEqual(['A 1 ERROR']);
    expect(house.runner.calls).not.toContain('start A [1]');
  });
});
