import { toInstanceInfo } from '../../src/models/api/views.js';
import type { Deployment } from '../../src/runners/deployment.js';
import type { Workload } from '../../src/runners/observation.js';
import type { RunnerContext } from '../../src/runners/runner-context.js';
import { desired } from '../fakes/memory-store.js';
import { NeedyRunner } from '../fakes/needy-runner.js';
import { FAKE_PID } from '../fakes/runner-script.js';
import { pass, settled } from '../fakes/timers.js';
import { house, moveHouse, useHouse } from './house-rig.js';

/** Models on one server, which may hold 1000 MiB that nobody needs after a stop. */
class Holder extends NeedyRunner {
  override readonly isShared = true;
  override readonly serverStays = true;
  override work: Workload | null | Error | 'hangs' = { open: 0, finished: 7 };
  /** Runs of it so far. */
  runs = 1;
  /** What happens just before the server would be ended. */
  beforeEnd: () => Promise<unknown> = () => Promise.resolve();

  override pidOn(): number {
    return FAKE_PID + this.runs;
  }

  /** It ends, and the next run of it is there for whoever is loaded next. */
  end(): void {
    this.runs += 1;
    this.crash(...this.models);
  }

  override heldLimitMiB(): number {
    return 1000;
  }

  override async renew(
    _deployment: Deployment,
    isQuiet: () => boolean,
    _context: RunnerContext,
  ): Promise<boolean> {
    await this.beforeEnd();
    if (!isQuiet()) return false;
    this.calls.push('renew');
    await new Promise((resolve) => setTimeout(resolve, 100)); // until its processes are gone
    this.end();
    return true;
  }
}

let runner: Holder;
/** What B needs of the GPU that A leaves; C is on another one. */
const B_NEEDS = 2000;

useHouse(() => ({ runner: (runner = new Holder(['A', 'B', 'C'])) }));
beforeEach(() => {
  runner.needs = { B: { memoryMiB: B_NEEDS, policy: 'shared' } };
});

const holds = (memoryMiB: number): void => {
  house.gpus.processes.set(0, [{ pid: runner.pidOn(), name: 'tritonserver', memoryMiB }]);
};

/** A is stopped, and its server holds so much after that beside what B needs. */
async function stopHolding(spareMiB: number): Promise<void> {
  const memoryMiB = B_NEEDS + spareMiB;
  await house.running('A', 0);
  await house.running('B', 0);
  await house.running('C', 1);
  holds(5000);
  runner.hold('stop');
  const stopping = house.supervisor.stop('A', 0);
  const call = await runner.nextCall('stop');
  holds(memoryMiB);
  call.succeed();
  runner.letGo('stop');
  expect(toInstanceInfo(await stopping)).toMatchObject({ gpu_memory: { held_mb: memoryMiB } });
  runner.calls.length = 0;
  house.transitions.length = 0;
}

/** So many seconds, with a look in each. */
async function watch(seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second += 1) {
    house.renewals.tick();
    await pass(1000);
  }
}

describe('a shared server that holds more than it may after a stop', () => {
  it('is started anew when it is idle, once, with all that it serves', async () => {
    await stopHolding(1001);
    await watch(3);
    expect(runner.calls).toEqual([]);
    await watch(3);
    expect(runner.calls.toSorted()).toEqual(['renew', 'start B [0]', 'start C [1]']);
    expect(house.status().toSorted()).toEqual(['B 0 RUNNING', 'C 1 RUNNING']);
    expect(house.history('B')).toEqual(['0 RUNNING→STARTING', '0 STARTING→RUNNING']);
    await watch(20);
    expect(runner.calls.filter((call) => call === 'renew')).toHaveLength(1);
  });

  it('is told by all that it serves in the same words, and is a crash of none', async () => {
    runner.lastLines = ['the server is going down'];
    await stopHolding(1001);
    house.lines.length = 0;
    await watch(6);
    const lost = house.transitions.filter(({ event }) => event === 'lost');
    expect(lost.map(({ modelName }) => modelName).toSorted()).toEqual(['B', 'C']);
    const words = 'its server held memory of models that have left, and is started anew (recycle_held_mb)';
    expect(new Set(lost.map(({ reason }) => reason))).toEqual(new Set([words]));
    expect(house.lines.filter(({ level }) => Number(level) >= 40)).toEqual([]);
    const placements = house.supervisor.deployments().flatMap((state) => state.active());
    expect(placements.map(({ history }) => history.lastCrash)).toEqual([undefined, undefined]);
    expect(placements.map(({ history }) => history.restarts)).toEqual([1, 1]);
  });

  it('that dies afterwards is a crash like any', async () => {
    await stopHolding(1001);
    await watch(6);
    await pass(60_000);
    await house.probe();
    house.transitions.length = 0;
    runner.end();
    await watch(3);
    const lost = house.transitions.filter(({ event }) => event === 'lost');
    expect(new Set(lost.map(({ reason }) => reason))).toEqual(new Set(['the model is not there any more']));
    const placements = house.supervisor.deployments().flatMap((state) => state.active());
    expect(placements.every(({ history }) => history.lastCrash)).toBe(true);
  });

  it('is not taken for one that dies: none of its models has lost a try', async () => {
    for (let time = 0; time < 5; time += 1) {
      await stopHolding(1001);
      await watch(6);
      expect(house.status().toSorted()).toEqual(['B 0 RUNNING', 'C 1 RUNNING']);
    }
  });

  it.each([
    ['holds no more than that', 1000],
    ['holds what B needs', 0],
    ['holds nothing', -B_NEEDS],
  ])('goes on where it %s', async (_what, memoryMiB) => {
    await stopHolding(memoryMiB);
    await watch(20);
    expect(runner.calls).toEqual([]);
  });

  it.each([
    ['is started anew', 1001, true],
    ['goes on', 1000, false],
  ])(
    '%s where nobody knows what a model that remains needs, and holds %s MiB in all',
    async (_what, heldMiB, isRenewed) => {
      runner.needs = {};
      await stopHolding(heldMiB - B_NEEDS);
      await watch(20);
      expect(runner.calls.includes('renew')).toBe(isRenewed);
    },
  );

  it('takes for needed what was learned, where that is more than the configuration says', async () => {
    house.learned.learn('B', { instances: 2 }, B_NEEDS + 1);
    await stopHolding(1001);
    await watch(20);
    expect(runner.calls).toEqual([]);
    await stopHolding(1002);
    await watch(6);
    expect(runner.calls).toContain('renew');
  });

  it.each<[string, Workload | null | Error]>([
    ['has requests that wait', { open: 1, finished: 7 }],
    ['does not tell of its requests', null],
    ['cannot tell of them', new Error('no metrics')],
  ])('goes on while it %s', async (_what, work) => {
    await stopHolding(1001);
    runner.work = work;
    await watch(20);
    expect(runner.calls).toEqual([]);
    runner.work = { open: 0, finished: 8 };
    await watch(6);
    expect(runner.calls).toContain('renew');
  });

  it('goes on while it finishes requests', async () => {
    await stopHolding(1001);
    for (let finished = 8; finished < 20; finished += 1) {
      runner.work = { open: 0, finished };
      await watch(1);
    }
    expect(runner.calls).toEqual([]);
  });

  it('goes on while a model that the configuration has no more serves in it, until that is stopped', async () => {
    runner = new Holder(['A', 'B', 'C']);
    runner.needs = { B: { memoryMiB: B_NEEDS, policy: 'shared' } };
    runner.world.set('D', new Set([2]));
    await moveHouse({ runner, state: [desired('D', [{ gpu_id: 2, wanted: 'serve' }])] });
    await stopHolding(1001);
    await watch(20);
    expect(runner.calls).toEqual([]);
    await house.supervisor.stop('D', 2);
    await watch(20);
    expect(runner.calls).toContain('renew');
  });

  it('goes on while a model is being loaded into it or taken out', async () => {
    await stopHolding(1001);
    runner.hold('start');
    await house.supervisor.start('A', 2, {});
    await watch(10);
    expect(runner.calls).not.toContain('renew');
    (await runner.nextCall('start')).succeed();
    runner.letGo('start');
    await watch(8);
    expect(runner.calls).toContain('renew');
  });

  it('goes on with a start that comes at the last moment', async () => {
    await stopHolding(1001);
    runner.hold('start');
    runner.beforeEnd = async () => {
      runner.beforeEnd = () => Promise.resolve();
      await house.supervisor.start('A', 2, {});
    };
    await watch(6);
    expect(runner.calls).toEqual(['start A [2]']);
    runner.letGo('start');
    await settled();
    await watch(8);
    expect(house.status().toSorted()).toEqual(['A 2 RUNNING', 'B 0 RUNNING', 'C 1 RUNNING']);
  });

  it('goes on where it has ended by itself since: the run that follows holds nothing of that', async () => {
    await stopHolding(1001);
    runner.work = { open: 1, finished: 7 };
    await watch(3);
    runner.end();
    await watch(10);
    expect(house.status().toSorted()).toEqual(['B 0 RUNNING', 'C 1 RUNNING']);
    runner.work = { open: 0, finished: 7 };
    await watch(20);
    expect(runner.calls).not.toContain('renew');
  });

  it('goes on where it ends by itself at the last moment', async () => {
    await stopHolding(1001);
    runner.beforeEnd = async () => {
      runner.beforeEnd = () => Promise.resolve();
      runner.end();
      await pass(2000);
    };
    await watch(20);
    expect(runner.calls).not.toContain('renew');
    expect(house.status().toSorted()).toEqual(['B 0 RUNNING', 'C 1 RUNNING']);
  });

  it('is forgotten when it ends with its last model', async () => {
    await stopHolding(1001);
    await house.supervisor.stop('B', 0);
    await house.supervisor.stop('C', 1);
    await watch(10);
    expect(runner.calls).not.toContain('renew');
    await house.running('B', 0);
    await watch(10);
    expect(runner.calls).toEqual([]);
  });
});
