import { jest } from '@jest/globals';
import type { DesiredDeployment } from '../../src/state/desired-state.js';
import { FakeRunner } from '../fakes/fake-runner.js';
import { House } from '../fakes/house.js';
import { desired } from '../fakes/memory-store.js';
import { NeedyRunner } from '../fakes/needy-runner.js';
import { pass, settled, useFakeTime } from '../fakes/timers.js';

beforeEach(useFakeTime);
afterEach(() => {
  jest.useRealTimers();
});

/** The service starts again, with a configuration that has lost model A, which serves on GPU 0. */
async function withoutA(
  runner = new FakeRunner(['B']),
  state: readonly DesiredDeployment[] = [desired('A', [{ gpu_id: 0, wanted: 'serve' }])],
  ...moreRunners: FakeRunner[]
): Promise<House> {
  if (!runner.world.has('A')) runner.world.set('A', new Set([0]));
  return House.withMemory({ runner, state, moreRunners, orphans: { interval_seconds: 1 } }).boot();
}

describe('a model that the configuration does not have any more', () => {
  it('serves on, is shown and holds its GPU, and is no orphan', async () => {
    const house = await withoutA();
    expect(house.status()).toEqual(['A 0 RUNNING']);
    expect(house.supervisor.deployments()[0]?.inCatalog).toBe(false);
    expect(house.gpuOccupants.list()).toMatchObject([{ modelName: 'A', gpuId: 0, instances: 2 }]);
    expect(house.supervisor.occupants()).toMatchObject([{ modelName: 'A', gpuId: 0, state: 'running' }]);
    for (let second = 0; second < 100; second += 1) {
      house.orphans.tick();
      await pass(1000);
    }
    expect(house.orphans.list()).toEqual([]);
    expect(house.runner.calls).toEqual([]);
    expect(house.lines).toContainEqual(expect.objectContaining({ level: 50 }));
  });

  it('is not started: there is no such model', async () => {
    const house = await withoutA();
    for (const gpuId of [0, 1]) {
      await expect(house.supervisor.start('A', gpuId, {})).rejects.toMatchObject({
        code: 'MODEL_UNKNOWN',
        kind: 'invalid',
      });
    }
    expect(house.status()).toEqual(['A 0 RUNNING']);
  });

  it.each([
    ['stopped', false, 'stop A [0]'],
    ['stopped by force', true, 'force A [0]'],
  ])('can be %s, and is forgotten then', async (_name, force, call) => {
    const house = await withoutA();
    const { placement } = await house.supervisor.stop('A', 0, { force });
    expect(placement?.status).toBe('STOPPED');
    expect(house.runner.calls).toEqual([call]);
    expect(house.store.saved.has('A')).toBe(false);
    await expect(house.supervisor.stop('A', 0)).rejects.toMatchObject({
      code: 'MODEL_UNKNOWN',
      kind: 'not_found',
    });
  });

  it('that fails its requests for good, or whose server has lost its GPUs, is degraded, and never ended for it', async () => {
    for (const trouble of ['failing', 'blind'] as const) {
      const house = await withoutA();
      const counted = { open: 0, done: 0, succeeded: 0, failed: 0 };
      if (trouble === 'blind') house.runner.sight = { lost: 'no NVML' };
      for (let second = 0; second < 600; second += 1) {
        if (trouble === 'failing') {
          counted.failed += 1;
          counted.done += 1;
          house.runner.counted = { ...counted };
        }
        await pass(1000);
        await house.probe();
      }
      expect(house.status()).toEqual(['A 0 RUNNING']);
      expect(house.placement('A', 0)?.degraded).toMatch(
        /; left as it is, as the configuration does not have the model any more$/,
      );
      expect(house.runner.calls).toEqual([]);
    }
  });

  it('can be ended by its server, which says so', async () => {
    const house = await withoutA();
    expect(house.supervisor.placementsOn('server-A')).toEqual(['A@0']);
    await house.supervisor.endServer('server-A', 'a test');
    expect(house.placement('A', 0)).toMatchObject({ status: 'ERROR' });
    expect(house.runner.servedOn('A')).toEqual([]);
  });

  it('whose server dies is an ERROR with cause and remedy, and stays one over a restart', async () => {
    const house = await withoutA();
    house.runner.world.delete('A');
    await house.probe();
    const { status, error } = house.placement('A', 0) ?? {};
    expect(status).toBe('ERROR');
    expect(error).toMatch(/^MODEL_NOT_IN_CATALOG: A serves no more .*Stop it; or put it back/);
    expect(house.runner.calls.filter((call) => call.startsWith('start'))).toEqual([]);
    expect(house.history()).toContain('0 STARTING→ERROR');
    const next = await withoutA(new FakeRunner(['B']), [...house.store.saved.values()]);
    expect(next.placement('A', 0)?.status).toBe('ERROR');
    await next.supervisor.stop('A', 0);
    expect(next.store.saved.size).toBe(0);
  });

  it('dies unsaid with no neighbour: what shares its server is brought back, it is an ERROR', async () => {
    const runner = new FakeRunner(['B']);
    runner.isShared = true;
    runner.world.set('A', new Set([0])).set('B', new Set([0]));
    const house = await withoutA(runner, [
      desired('A', [{ gpu_id: 0, wanted: 'serve' }]),
      desired('B', [{ gpu_id: 0, wanted: 'serve' }]),
    ]);
    runner.world.clear();
    await house.probe();
    expect(house.status()).toEqual(['A 0 ERROR', 'B 0 RUNNING']);
    expect(house.placement('A', 0)?.error).toMatch(/^MODEL_NOT_IN_CATALOG/);
  });

  it('has its stop completed that was under way', async () => {
    const house = await withoutA(new FakeRunner(['B']), [desired('A', [{ gpu_id: 0, wanted: 'release' }])]);
    expect(house.runner.calls).toEqual(['stop A [0]']);
    expect(house.store.saved.size).toBe(0);
  });

  it('is a normal one again when the configuration has it back', async () => {
    const first = await withoutA();
    const runner = new FakeRunner();
    runner.world.set('A', new Set([0]));
    const again = await House.withMemory({ runner, state: [...first.store.saved.values()] }).boot();
    expect(again.supervisor.deployments()[0]?.inCatalog).toBe(true);
    again.runner.world.clear();
    await again.probe();
    expect(again.status()).toEqual(['A 0 RUNNING']);
    expect(again.runner.calls).toEqual(['start A [0]']);
  });

  it('keeps what was said of its GPU when it was started: an exclusive one lets nobody in', async () => {
    const needy = new NeedyRunner(['A', 'B']);
    needy.needs = { A: { memoryMiB: 5000, policy: 'exclusive' } };
    const before = await House.withMemory({ runner: needy }).boot();
    await before.supervisor.start('A', 0, {});
    await settled();
    const saved = [...before.store.saved.values()];
    expect(saved).toMatchObject([{ settings: { gpu_memory_mb: 5000, gpu_policy: 'exclusive' } }]);
    const house = await withoutA(new FakeRunner(['B']), saved);
    expect(house.supervisor.occupants()).toMatchObject([{ estimateMiB: 5000, policy: 'exclusive' }]);
    await expect(house.supervisor.start('B', 0, {})).rejects.toMatchObject({ code: 'GPU_EXCLUSIVE' });
    await house.supervisor.start('B', 1, {});
    const next = await withoutA(new FakeRunner(['B']), [...house.store.saved.values()]);
    expect(next.supervisor.occupants()).toMatchObject([{ estimateMiB: 5000 }, { modelName: 'B' }]);
  });
});

describe('a model that is in another backend now', () => {
  it('serves on where it is; a start says what to do, and after its stop goes to the new backend', async () => {
    const other = new FakeRunner(['A'], 'other');
    const house = await withoutA(new FakeRunner(['B']), undefined, other);
    expect(house.status()).toEqual(['A 0 RUNNING']);
    for (const gpuId of [0, 1]) {
      await expect(house.supervisor.start('A', gpuId, {})).rejects.toMatchObject({
        code: 'BACKEND_CHANGED',
        kind: 'conflict',
      });
    }
    const plan = await house.supervisor.foresee('A', 0, {});
    expect([plan.would, plan.refusal?.code]).toEqual(['refuse', 'BACKEND_CHANGED']);
    await house.supervisor.stop('A', 0);
    await house.supervisor.start('A', 0, {});
    await settled();
    expect(house.status()).toEqual(['A 0 RUNNING']);
    expect(house.runner.calls).toEqual(['stop A [0]']);
    expect(other.calls).toEqual(['start A [0]']);
    expect(house.store.saved.get('A')?.model_type).toBe('other');
    expect(house.defects()).toEqual([]);
  });

  it('is replaced by a start once its server has died there', async () => {
    const other = new FakeRunner(['A'], 'other');
    const house = await withoutA(new FakeRunner(['B']), undefined, other);
    house.runner.world.delete('A');
    await house.probe();
    expect(house.placement('A', 0)?.error).toMatch(/^MODEL_NOT_IN_CATALOG/);
    await house.supervisor.start('A', 0, {});
    await settled();
    expect(house.supervisor.deployments()).toHaveLength(1);
    expect(house.status()).toEqual(['A 0 RUNNING']);
    expect(other.calls).toEqual(['start A [0]']);
  });
});
