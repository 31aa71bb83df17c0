import { describe, expect, it } from '@jest/globals';
import { LOST } from '../../src/gpus/health/faults.js';
import { toStatusItem } from '../../src/models/api/views.js';
import { desired } from '../fakes/memory-store.js';
import { NamingRunner } from '../fakes/naming-runner.js';
import { pass, settled } from '../fakes/timers.js';
import { House } from '../fakes/house.js';
import { house, moveHouse, useHouse } from './house-rig.js';

const HOST = ['GPU-0', 'GPU-1', 'GPU-2', 'GPU-3'];
/** The same, with the GPU of index 1 taken out. */
const SHRUNK = ['GPU-0', 'GPU-2', 'GPU-3'];

/** Somebody reads the GPUs some time later, which are these. */
async function read(uuids: readonly string[]): Promise<void> {
  house.gpus.uuids = uuids;
  await pass(10_000);
  house.whereabouts.tick();
  await settled();
}

describe('options that name GPUs by index, of GPUs that have moved', () => {
  useHouse(() => ({ runner: new NamingRunner() }));

  const shown = () =>
    house.supervisor
      .deployments()
      .flatMap((state) => state.visible().map((held) => toStatusItem(state, held)))
      .map(({ gpu_id: gpuId, options }) => [gpuId, options.gpu_ids]);
  const started = async (gpuId: number, gpuIds: readonly number[]) => {
    const view = await house.supervisor.start('A', gpuId, { gpu_ids: gpuIds });
    return view.placement?.status;
  };

  it('are shown as they are now, and a start that says them so is the one that serves', async () => {
    await house.supervisor.start('A', 0, { gpu_ids: [2, 0] });
    await settled();
    expect(shown()).toEqual([
      [0, [0, 2]],
      [2, [0, 2]],
    ]);
    expect(await started(0, [2, 0])).toBe('RUNNING');
    await read(SHRUNK);
    expect(shown()).toEqual([
      [0, [0, 1]],
      [1, [0, 1]],
    ]);
    expect(await started(0, [0, 1])).toBe('RUNNING');
    expect(await started(1, [1, 0])).toBe('RUNNING');
    await expect(started(0, [0, 2])).rejects.toThrow(/runs on GPU 0, 1 with .*"gpu_ids":\[0,1\]/);
    expect((await house.supervisor.foresee('A', 0, { gpu_ids: [0, 1] })).would).toBe('nothing');
    expect((await house.supervisor.foresee('A', 0, { gpu_ids: [0, 2] })).would).toBe('refuse');
    expect(house.runner.calls).toEqual(['start A [0]']);
  });

  it('after a restart, too, and nothing is launched anew for them', async () => {
    const gpus = [0, 2].map((id) => ({ gpu_id: id, gpu_uuid: `GPU-${id}` }));
    const state = { ...desired('A', [{ gpu_id: 0, gpus, wanted: 'serve' }]), options: { gpu_ids: [0, 2] } };
    const runner = new NamingRunner();
    runner.world.set('A', new Set([0]));
    const next = House.withMemory({ runner, state: [state] });
    next.gpus.uuids = SHRUNK;
    await moveHouse(await next.boot());
    expect(shown()).toEqual([
      [0, [0, 1]],
      [1, [0, 1]],
    ]);
    expect(await started(0, [0, 1])).toBe('RUNNING');
    await expect(started(0, [0, 2])).rejects.toThrow(/gpu_ids/);
    expect(house.runner.calls).toEqual([]);
  });

  it('a further GPU that says nothing gets none of those that the model once named', async () => {
    await house.supervisor.start('A', 2, { gpu_ids: [2, 3] });
    await settled();
    await read(['GPU-2', 'GPU-3', 'GPU-4', 'GPU-5']);
    await expect(house.supervisor.start('A', 2, {})).rejects.toThrow(/runs on GPU 0, 1 already/);
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
  });
});

describe('a list of one GPU that goes bad', () => {
  useHouse(() => ({ runner: new NamingRunner(), health: { restart_elsewhere: true } }));

  it('names the GPU on which it is started instead', async () => {
    await house.supervisor.start('A', 1, { gpu_ids: [1] });
    await settled();
    house.gpus.faults.set(1, { error: 'GPU cannot be read: GPU is lost', faults: [LOST] });
    await read(HOST);
    await settled();
    expect(house.status()).toContain('A 0 RUNNING');
  });
});
