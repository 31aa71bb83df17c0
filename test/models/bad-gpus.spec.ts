import { describe, expect, it } from '@jest/globals';
import { faultsIn, LOST } from '../../src/gpus/health/faults.js';
import { StopFailedError } from '../../src/launchers/launcher.js';
import type { GpuCordonsRecord } from '../../src/state/gpu-cordons.js';
import { House } from '../fakes/house.js';
import { desired } from '../fakes/memory-store.js';
import { NeedyRunner } from '../fakes/needy-runner.js';
import { pass, settled } from '../fakes/timers.js';
import { house, moveHouse, useHouse } from './house-rig.js';

const FALLEN = { error: 'GPU cannot be read: GPU is lost', faults: [LOST] };

/** The GPUs are read, and this is what is found. */
async function finds(gpuId: number, faults: Parameters<typeof house.gpus.faults.set>[1]): Promise<void> {
  house.gpus.faults.set(gpuId, faults);
  await pass(10_000);
  house.whereabouts.tick();
  await settled();
  await settled();
}

const ERROR = expect.stringMatching(/^GPU_UNHEALTHY: GPU 1, which A is on, is bad: GPU is lost/);

describe('a GPU that this service finds to be bad', () => {
  useHouse();

  it('has nothing on it any more: an ERROR with the cause, let go of; what is elsewhere serves on', async () => {
    await house.running('A', 0, 1);
    await finds(1, FALLEN);
    expect(house.placement('A', 1)).toMatchObject({ status: 'ERROR', error: ERROR });
    expect(house.placement('A', 0)).toEqual({ status: 'RUNNING' });
    expect(house.runner.calls).toEqual(['stop A [1] keep [0]']);
    expect(house.store.saved.get('A')?.placements).toMatchObject([
      { gpu_id: 0, wanted: 'serve' },
      { gpu_id: 1, wanted: 'failed', error: { code: 'GPU_UNHEALTHY' } },
    ]);
    await expect(house.supervisor.start('B', 1, {})).rejects.toThrow(/GPU 1 is cordoned .* GPU is lost/);
  });

  it('is named by its UUID where its stored error says how its cordon is ended: indices shift', async () => {
    await house.running('A', 1);
    await finds(1, FALLEN);
    expect(house.placement('A', 1)?.error).toContain('POST /api/v1/gpus/GPU-1/uncordon');
  });

  it('is named by its UUID in the error of what is not brought back there', async () => {
    await house.running('A', 1);
    await house.cordons.cordon({ id: 1, uuid: 'GPU-1' }, 'noise');
    house.runner.world.set('A', new Set());
    await house.probe();
    expect(house.placement('A', 1)?.error).toContain('POST /api/v1/gpus/GPU-1/uncordon');
  });

  it('is started on again when it is mended and uncordoned, and not before', async () => {
    await house.running('A', 1);
    await finds(1, FALLEN);
    house.gpus.faults.clear();
    await pass(3_600_000);
    await expect(house.supervisor.start('A', 1, {})).rejects.toThrow(/cordoned/);
    await house.health.uncordon({ id: 1, uuid: 'GPU-1' });
    await house.supervisor.start('A', 1, {});
    await settled();
    expect(house.status()).toEqual(['A 1 RUNNING']);
  });

  it('interrupts a start there', async () => {
    house.runner.hold('start');
    await house.supervisor.start('A', 1, {});
    await settled();
    await finds(1, { xids: [79] });
    expect(house.placement('A', 1)).toMatchObject({ status: 'ERROR' });
    expect(house.runner.calls).toEqual(['start A [1]', 'stop A [1]']);
  });

  it('has a server that does not let go ended by force; what it has on other GPUs comes back there', async () => {
    await house.running('A', 0, 1);
    house.runner.failNext('stop', new StopFailedError('it hangs in the driver'));
    await finds(1, FALLEN);
    expect(house.placement('A', 1)).toMatchObject({ status: 'ERROR', error: ERROR });
    await pass(60_000);
    await house.probe();
    expect(house.runner.calls.slice(0, 2)).toEqual(['stop A [1] keep [0]', 'force A [1] keep [0]']);
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 ERROR']);
    expect(house.runner.world.get('A')).toEqual(new Set([0]));
  });

  it('has a server that cannot be ended by force tried again, as any', async () => {
    await house.running('A', 1);
    house.runner.failNext('stop', new StopFailedError('it hangs in the driver'));
    house.runner.failNext('force', new StopFailedError('it hangs in the kernel'));
    await finds(1, FALLEN);
    await pass(120_000);
    expect(house.runner.calls).toEqual(['stop A [1]', 'force A [1]', 'force A [1]']);
    expect(house.placement('A', 1)).toMatchObject({ status: 'ERROR', error: ERROR });
  });

  it('ends nothing by faults that an operator’s cordon already had placements run on under, and does by new ones', async () => {
    await house.running('A', 1);
    await house.cordons.cordon({ id: 1, uuid: 'GPU-1' }, 'noise');
    await finds(2, FALLEN);
    expect(house.status()).toEqual(['A 1 RUNNING']);
    await finds(1, { faults: faultsIn({ eccUncorrected: 1 }) });
    expect(house.status()).toEqual(['A 1 ERROR']);
  });

  it('is one of several that a placement holds: the whole placement is in ERROR', async () => {
    const runner = new NeedyRunner();
    runner.span = 2;
    await moveHouse({ runner });
    await house.running('A', 0);
    await finds(1, FALLEN);
    expect(house.status()).toEqual(['A 0 ERROR', 'A 1 ERROR']);
    expect(runner.world.get('A')).toEqual(new Set());
  });

  it('is nothing to a model that runs on no GPU: it starts, serves and comes back there', async () => {
    const runner = new NeedyRunner();
    runner.needs.A = { memoryMiB: 0, policy: 'shared', offGpu: true };
    await moveHouse({ runner });
    await house.running('A', 1);
    await finds(1, FALLEN);
    expect(house.status()).toEqual(['A 1 RUNNING']);
    runner.world.set('A', new Set());
    await house.probe();
    await pass(1000);
    expect(house.status()).toEqual(['A 1 RUNNING']);
    await house.supervisor.stop('A', 1);
    expect((await house.supervisor.foresee('A', 1, {})).would).toBe('start');
    await house.running('A', 1);
    expect(house.status()).toEqual(['A 1 RUNNING']);
  });

  it('is found by the next boot where the service died before it could end what was there', async () => {
    const runner = new NeedyRunner();
    runner.world.set('A', new Set([1]));
    const state = [desired('A', [{ gpu_id: 1, gpus: [{ gpu_id: 1, gpu_uuid: 'GPU-1' }], wanted: 'serve' }])];
    const next = House.withMemory({ runner, state });
    const since = '2024-01-01T00:00:00.000Z';
    next.cordonsStore.saved = {
      cordons: [{ gpu_uuid: 'GPU-1', gpu_id: 1, reason: 'GPU is lost', by: 'service', since }],
      acknowledged: [],
    };
    await next.boot();
    await moveHouse(next);
    await settled();
    expect(house.placement('A', 1)).toMatchObject({ status: 'ERROR', error: ERROR });
    expect(runner.world.get('A')).toEqual(new Set());
  });

  /** A serves on GPU 1, as the last run has left it, with these cordons. */
  async function next(cordons: GpuCordonsRecord): Promise<void> {
    const runner = new NeedyRunner();
    runner.world.set('A', new Set([1]));
    const state = [desired('A', [{ gpu_id: 1, gpus: [{ gpu_id: 1, gpu_uuid: 'GPU-1' }], wanted: 'serve' }])];
    const another = House.withMemory({ runner, state });
    another.cordonsStore.saved = cordons;
    await another.boot();
    await moveHouse(another);
    await settled();
  }

  it.each([
    ['before', async () => house.cordons.cordon({ id: 1, uuid: 'GPU-1' }, 'noise')],
    ['after', () => undefined],
  ])(
    'is found by the next boot where an operator had cordoned it, too, %s the fault',
    async (when, cordon) => {
      await house.running('A', 1);
      await cordon();
      await finds(1, { xids: [79] });
      if (when === 'after') await house.cordons.cordon({ id: 1, uuid: 'GPU-1' }, 'noise');
      await next(house.cordonsStore.saved);
      expect(house.placement('A', 1)).toMatchObject({
        status: 'ERROR',
        error: expect.stringMatching(/^GPU_UNHEALTHY: GPU 1, which A is on, is bad: .*Xid 79/),
      });
      expect(house.runner.world.get('A')).toEqual(new Set());
    },
  );

  it('has nothing on it by the first reading of this run, whatever the cordon of the last one says', async () => {
    const since = '2024-01-01T00:00:00.000Z';
    const reason = `noise; ${LOST.words}`;
    await next({
      cordons: [{ gpu_uuid: 'GPU-1', gpu_id: 1, reason, by: 'operator', since }],
      acknowledged: [],
    });
    expect(house.status()).toEqual(['A 1 RUNNING']);
    await finds(1, FALLEN);
    expect(house.placement('A', 1)).toMatchObject({ status: 'ERROR', error: ERROR });
    expect(house.cordons.of({ id: 1, uuid: 'GPU-1' })).toMatchObject({ by: 'operator', reason });
  });
});

describe('where restart_elsewhere lets it', () => {
  useHouse(() => ({ health: { restart_elsewhere: true } }));

  it('what was on a bad GPU is started on another, with its options, and the ERROR stays to tell why', async () => {
    await house.supervisor.start('A', 1, { instances: 3 });
    await house.supervisor.start('A', 0, {});
    await settled();
    await finds(1, FALLEN);
    await settled();
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 ERROR', 'A 2 RUNNING']);
    expect(house.runner.world.get('A')).toEqual(new Set([0, 2]));
    expect(house.store.saved.get('A')?.options).toMatchObject({ instances: 3 });
    expect((await house.supervisor.stop('A', 1)).placement?.status).toBe('STOPPED');
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 2 RUNNING']);
  });

  it('it goes to no other bad or exclusive GPU, and stays ERROR where none is left', async () => {
    const runner = new NeedyRunner();
    runner.needs.B = { memoryMiB: null, policy: 'exclusive' };
    await moveHouse({ runner, health: { restart_elsewhere: true } });
    await house.running('A', 1);
    await house.running('B', 3);
    await house.cordons.cordon({ id: 0, uuid: 'GPU-0' }, undefined);
    await finds(2, FALLEN);
    await finds(1, FALLEN);
    expect(house.status()).toEqual(['A 1 ERROR', 'B 3 RUNNING']);
    expect(
      house.lines.find(({ msg }) => String(msg).includes('cannot be started on another GPU')),
    ).toBeDefined();
  });

  it('of all GPUs that go bad at once, each is left for one that is well', async () => {
    await house.running('A', 0);
    await house.running('B', 1);
    house.gpus.faults.set(0, FALLEN);
    await finds(1, FALLEN);
    await settled();
    await pass(1000);
    expect(house.status().filter((each) => each.includes('RUNNING'))).toHaveLength(2);
    expect(house.status().filter((each) => / [01] RUNNING/.test(each))).toEqual([]);
  });

  it('a placement over several GPUs is not moved', async () => {
    const runner = new NeedyRunner();
    runner.span = 2;
    await moveHouse({ runner, health: { restart_elsewhere: true } });
    await house.running('A', 0);
    await finds(1, FALLEN);
    expect(house.status()).toEqual(['A 0 ERROR', 'A 1 ERROR']);
  });
});
