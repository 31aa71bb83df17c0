import { jest } from '@jest/globals';
import { z } from 'zod';
import type { DeploymentOptions } from '../../src/runners/deployment.js';
import { FakeRunner } from '../fakes/fake-runner.js';
import { House } from '../fakes/house.js';
import { desired } from '../fakes/memory-store.js';
import { pass, settled, useFakeTime } from '../fakes/timers.js';

beforeEach(useFakeTime);
afterEach(() => {
  jest.useRealTimers();
});

/** Its configuration takes fewer instances than it once did, and no `mode`. */
class NarrowedRunner extends FakeRunner {
  readonly started: DeploymentOptions[] = [];

  override optionsSchemaOf(): z.ZodType<DeploymentOptions> {
    return z.strictObject({ instances: z.int().min(1).max(4) });
  }

  override start(...[deployment, context]: Parameters<FakeRunner['start']>): Promise<void> {
    this.started.push(deployment.options);
    return super.start(deployment, context);
  }
}

/** The service boots with this in its state, and A serves on these GPUs. */
async function boot(options: DeploymentOptions, ...gpuIds: number[]): Promise<[House, NarrowedRunner]> {
  const runner = new NarrowedRunner();
  runner.world.set('A', new Set(gpuIds));
  const placements = gpuIds.map((gpuId) => ({ gpu_id: gpuId, wanted: 'serve' as const }));
  const state = [{ ...desired('A', placements), options: { ...options } }];
  return [await House.withMemory({ runner, state }).boot(), runner];
}

const optionsOf = (house: House): DeploymentOptions | undefined => house.supervisor.deployments()[0]?.options;

describe('options of the state that the configuration does not take any more', () => {
  it('stay with what serves, until all of it is launched anew: then they are as the configuration takes them', async () => {
    const [house, runner] = await boot({ instances: 3, mode: 'old' }, 0, 1);
    expect(optionsOf(house)).toEqual({ instances: 3, mode: 'old' });
    expect(JSON.stringify(house.lines)).toContain('stays so until it is launched anew');
    runner.world.set('A', new Set([0]));
    await house.probe();
    expect(runner.started).toEqual([{ instances: 3, mode: 'old' }]);
    runner.world.delete('A');
    await house.probe();
    await pass(60_000);
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
    // Of what was said, what it still takes.
    expect(optionsOf(house)).toEqual({ instances: 3 });
    expect(house.store.saved.get('A')?.options).toEqual({ instances: 3 });
  });

  it('what it does not take is its default', async () => {
    const [house, runner] = await boot({ instances: 6 }, 0);
    expect(optionsOf(house)).toEqual({ instances: 6 });
    runner.world.delete('A');
    await house.probe();
    await settled();
    expect(runner.started).toEqual([{ instances: 2 }]);
    expect(optionsOf(house)).toEqual({ instances: 2 });
  });

  it('that make no sense to the backend are the defaults at once', async () => {
    const [house] = await boot({ instances: 'many' }, 0);
    expect(optionsOf(house)).toEqual({ instances: 2 });
    expect(house.lines).toContainEqual(expect.objectContaining({ level: 50 }));
  });
});
