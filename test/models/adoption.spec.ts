import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { EngineUnavailableError } from '../../src/launchers/launcher.js';
import { FakeRunner } from '../fakes/fake-runner.js';
import { House } from '../fakes/house.js';
import { desired } from '../fakes/memory-store.js';
import { pass, settled, useFakeTime } from '../fakes/timers.js';

let house: House;

beforeEach(useFakeTime);
afterEach(async () => {
  expect(house.defects()).toEqual([]);
  await house.orphans.beforeApplicationShutdown();
  await house.supervisor.beforeApplicationShutdown();
  jest.useRealTimers();
});

/** A backend that has outlived the service, and its state. */
function serving(...models: string[]): FakeRunner {
  const runner = new FakeRunner();
  for (const [index, model] of models.entries()) runner.world.set(model, new Set([index, index + 1]));
  return runner;
}

async function bootWithout(
  runner: FakeRunner,
  settings: Parameters<typeof House.withMemory>[0] = {},
): Promise<void> {
  house = await House.withMemory({ runner, stateLost: true, ...settings }).boot();
}

/** Time goes by, with the ticks of the orphan watch in it. */
async function time(seconds: number): Promise<void> {
  for (let left = seconds; left > 0; left -= 1) {
    house.orphans.tick();
    await pass(1000);
  }
}

const said = (text: string) => house.lines.filter(({ msg }) => String(msg).includes(text));

describe('after the state was set aside', () => {
  it('what runs is wanted again, as it is, with its options; nothing is done to it', async () => {
    const runner = serving('A', 'B');
    runner.servedOptions.set('B', { instances: 7 });
    await bootWithout(runner);
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING', 'B 1 RUNNING', 'B 2 RUNNING']);
    expect(runner.calls).toEqual([]);
    expect(house.store.wanted()).toEqual({ A: ['0 serve', '1 serve'], B: ['1 serve', '2 serve'] });
    expect(house.store.saved.get('B')?.options).toEqual({ instances: 7 });
    expect(house.store.adoption).toBeUndefined();
    expect(said('a model that serves is taken up')).toHaveLength(2);
    expect(house.gpuOccupants.list()).toHaveLength(4);
    await time(300);
    expect(house.orphans.list()).toEqual([]);
    expect(runner.calls).toEqual([]);
    expect(runner.adoptionCalls).toBe(1);
  });

  it('what the backend is still loading is waited for', async () => {
    const runner = serving('A');
    runner.phase = 'starting';
    await bootWithout(runner);
    expect(house.status()).toEqual(['A 0 STARTING', 'A 1 STARTING']);
    runner.phase = undefined;
    await house.probe();
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
    expect(runner.calls).toEqual([]);
  });

  it('options that the backend does not take any more give way to the defaults', async () => {
    const runner = serving('A');
    runner.servedOptions.set('A', { instances: 99 });
    await bootWithout(runner);
    expect(house.supervisor.deployments()[0]?.options).toEqual({ instances: 2 });
  });

  it('with nothing running there is nothing to do, and it is over', async () => {
    await bootWithout(new FakeRunner());
    expect(house.status()).toEqual([]);
    expect(house.store.adoption).toBeUndefined();
  });

  it('and with a state that was not, what runs and is not wanted stays an orphan', async () => {
    await bootWithout(serving('A'), { stateLost: false });
    await time(0);
    house.orphans.tick();
    await settled();
    expect(house.status()).toEqual([]);
    expect(house.runner.adoptionCalls).toBe(0);
    expect(house.orphans.list()).toHaveLength(1);
  });
});

describe('while nobody can tell what runs', () => {
  it('nothing is removed, however long that is, and it is taken up when somebody can', async () => {
    const runner = serving('A');
    runner.adoptionTrouble = new EngineUnavailableError('Cannot connect to the Docker daemon');
    await bootWithout(runner);
    await time(600);
    expect(house.orphans.list()).toEqual([]);
    expect(runner.calls).toEqual([]);
    expect(runner.findCalls).toBe(0);
    expect(house.store.adoption).toEqual({ done: [] });
    expect(said('cannot be told')).toMatchObject([{ level: 50 }]);
    runner.adoptionTrouble = undefined;
    await time(2);
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
    await time(300);
    expect(runner.calls).toEqual([]);
    expect(runner.findCalls).toBeGreaterThan(0);
  });

  it('a backend that hangs holds up neither the boot nor reads, and is asked again', async () => {
    const runner = serving('A');
    runner.adoptionHangs = true;
    await bootWithout(runner);
    expect(house.supervisor.isReady).toBe(true);
    expect(house.status()).toEqual([]);
    runner.adoptionHangs = false;
    await pass(7000);
    expect(runner.adoptionCalls).toBe(2);
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
  });

  it('what is known is taken up at once; the rest is waited for', async () => {
    const runner = serving('A', 'B');
    runner.frozen.add('B');
    runner.adoptionTrouble = 'the server of B does not answer';
    await bootWithout(runner);
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
    await time(300);
    expect(runner.calls).toEqual([]);
    runner.frozen.delete('B');
    runner.adoptionTrouble = undefined;
    await time(2);
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING', 'B 1 RUNNING', 'B 2 RUNNING']);
    expect(runner.calls).toEqual([]);
  });

  it('other backends are not held up; how far it is outlives the service', async () => {
    const other = new FakeRunner(['X'], 'other');
    other.world.set('X', new Set([3]));
    const runner = serving('A');
    runner.adoptionTrouble = new Error('no answer');
    await bootWithout(runner, { moreRunners: [other] });
    expect(house.status()).toEqual(['X 3 RUNNING']);
    expect(house.store.adoption).toEqual({ done: ['other'] });
    await house.supervisor.beforeApplicationShutdown();

    const next = House.withMemory({
      runner: serving('A'),
      moreRunners: [other],
      state: [...house.store.saved.values()],
    });
    next.store.taking = house.store.adoption;
    house = await next.boot();
    expect(house.status()).toEqual(['X 3 RUNNING', 'A 0 RUNNING', 'A 1 RUNNING']);
    expect(other.adoptionCalls).toBe(1);
    expect(house.store.adoption).toBeUndefined();
  });

  it('a disk that is full keeps it from being taken up, and from being removed', async () => {
    const runner = serving('A');
    house = House.withMemory({ runner, stateLost: true });
    house.store.isFull = true;
    await house.boot();
    await time(300);
    expect(house.status()).toEqual([]);
    expect(runner.calls).toEqual([]);
    house.store.isFull = false;
    await time(2);
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
    expect(house.store.wanted()).toEqual({ A: ['0 serve', '1 serve'] });
  });

  it('the end of the service does not wait for it, and leaves it to the next', async () => {
    const runner = serving('A');
    runner.adoptionHangs = true;
    await bootWithout(runner);
    await house.supervisor.beforeApplicationShutdown();
    expect(house.store.adoption).toEqual({ done: [] });
    await pass(60_000);
    expect(runner.adoptionCalls).toBe(1);
  });
});

describe('a command while what runs is not known', () => {
  it('of a model that runs finds it taken up: nothing is started twice', async () => {
    const runner = serving('A');
    runner.adoptionTrouble = new Error('not yet');
    await bootWithout(runner);
    runner.adoptionTrouble = undefined;
    const view = await house.supervisor.start('A', 0, {});
    expect(view.held.map(({ gpuId }) => gpuId)).toEqual([0, 1]);
    await settled();
    expect(runner.calls).toEqual([]);
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
  });

  it('joins the look that is under way', async () => {
    const runner = serving('A');
    house = House.withMemory({ runner, stateLost: true });
    await house.supervisor.onApplicationBootstrap();
    await house.supervisor.stop('A', 1);
    expect(runner.adoptionCalls).toBe(1);
    expect(house.status()).toEqual(['A 0 RUNNING']);
  });

  it('is refused while that cannot be told, and changes nothing', async () => {
    const runner = serving('A');
    runner.adoptionTrouble = new Error('the server hangs');
    await bootWithout(runner);
    const refusal = {
      code: 'ADOPTION_PENDING',
      message: expect.stringContaining('not been taken up yet: the server hangs'),
    };
    await expect(house.supervisor.start('A', 0, {})).rejects.toMatchObject(refusal);
    await expect(house.supervisor.start('B', 3, {})).rejects.toMatchObject(refusal);
    await expect(house.supervisor.stop('A', 0)).rejects.toMatchObject(refusal);
    runner.adoptionHangs = true;
    const late = house.supervisor.start('A', 0, {});
    const outcome = expect(late).rejects.toMatchObject({ code: 'ADOPTION_PENDING' });
    await pass(5000);
    await outcome;
    expect(runner.calls).toEqual([]);
    expect(house.store.wanted()).toEqual({});
  });

  it('of a model that is known goes on; what was seen before its stop does not bring it back', async () => {
    const runner = serving('A', 'B');
    runner.frozen.add('B');
    runner.adoptionTrouble = 'the server of B does not answer';
    await bootWithout(runner);
    await house.supervisor.stop('A', 0);
    await house.supervisor.stop('A', 1);
    runner.world.set('A', new Set([0])); // a look that had begun before
    await time(5);
    expect(house.status()).toEqual([]);
    expect(house.store.wanted()).toEqual({});
    await house.supervisor.start('A', 3, {});
    await settled();
    expect(house.status()).toEqual(['A 3 RUNNING']);
  });

  it('of a model that the state knows goes on as ever', async () => {
    const runner = new FakeRunner();
    runner.world.set('A', new Set([0]));
    runner.adoptionTrouble = new Error('not yet');
    await bootWithout(runner, { state: [desired('A', [{ gpu_id: 0, wanted: 'serve' }])] });
    expect(house.status()).toEqual(['A 0 RUNNING']);
    await house.supervisor.start('A', 2, {});
    await settled();
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 2 RUNNING']);
  });
});
