import { jest } from '@jest/globals';
import type { Config } from '../../../src/config/schema.js';
import { EngineUnavailableError } from '../../../src/launchers/launcher.js';
import { toOrphanInfo } from '../../../src/models/api/orphan.dto.js';
import { FakeRunner } from '../../fakes/fake-runner.js';
import { House } from '../../fakes/house.js';
import { desired } from '../../fakes/memory-store.js';
import { pass, settled, useFakeTime } from '../../fakes/timers.js';

let house: House;

beforeEach(() => {
  useFakeTime();
});
afterEach(async () => {
  await house.orphans.beforeApplicationShutdown();
  expect(house.lines.filter(({ msg }) => msg === 'The look for orphans failed')).toEqual([]);
  expect(house.defects()).toEqual([]);
  jest.useRealTimers();
});

async function boot(settings: Parameters<typeof House.withMemory>[0] = {}): Promise<void> {
  house = await House.withMemory(settings).boot();
}

/** Time goes by, with the watch's ticks in it. */
async function time(seconds: number): Promise<void> {
  for (let left = seconds * 1000; left > 0; left -= 250) {
    house.orphans.tick();
    await pass(250);
  }
  house.orphans.tick();
  await settled();
}

const found = () => house.orphans.list().map(({ what }) => what.serverName);
const removals = () => house.runner.calls.filter((call) => call.startsWith('remove'));
const said = (text: string) => house.lines.filter(({ msg }) => String(msg).startsWith(text));

describe('what nobody wants', () => {
  it('is found at boot, said, listed, and removed after the grace, not before', async () => {
    const runner = new FakeRunner();
    runner.world.set('A', new Set([0]));
    await boot({ runner });
    await time(0);
    expect(said('An orphan: nobody wants it, and it is removed')).toHaveLength(1);
    expect(house.orphans.list().map(toOrphanInfo)).toEqual([
      {
        kind: 'server',
        model_type: 'fake',
        server_name: 'server-A',
        launcher: 'process',
        container_id: null,
        pid: 5_000_100,
        running: true,
        models: ['A'],
        since: '2024-01-01T00:00:00.000Z',
        removal_due: '2024-01-01T00:01:00.000Z',
      },
    ]);
    await time(59);
    expect(removals()).toEqual([]);
    await time(2);
    expect(removals()).toEqual(['remove A']);
    expect(runner.servedOn('A')).toEqual([]);
    expect(found()).toEqual([]);
    expect(said('An orphan was removed')).toHaveLength(1);
    expect(said('An orphan: nobody')).toHaveLength(1);
  });

  it('is found at the interval when it comes later, and has its own grace', async () => {
    await boot();
    await time(1);
    house.runner.world.set('B', new Set([1]));
    await time(28);
    expect(found()).toEqual([]);
    await time(2);
    expect(found()).toEqual(['server-B']);
    await time(58);
    expect(removals()).toEqual([]);
    await time(3);
    expect(removals()).toEqual(['remove B']);
  });

  it('is left alone, and reported, with orphans.policy: report', async () => {
    await boot({ orphans: { policy: 'report' } satisfies Partial<Config['orphans']> });
    house.runner.world.set('A', new Set([0]));
    await time(300);
    expect(removals()).toEqual([]);
    expect(house.orphans.list().map(toOrphanInfo)).toMatchObject([
      { server_name: 'server-A', removal_due: null },
    ]);
    expect(said('An orphan: nobody wants it, and it is left alone')).toHaveLength(1);
  });

  it('has a new grace when it is replaced meanwhile', async () => {
    await boot();
    house.runner.world.set('A', new Set([0]));
    await time(50);
    jest.spyOn(house.runner, 'findUnneeded').mockImplementation(() =>
      Promise.resolve([
        {
          serverName: 'server-A',
          serverId: 'another run',
          launcher: 'process',
          pid: 1,
          running: true,
          models: [],
        },
      ]),
    );
    await time(30);
    expect(removals()).toEqual([]);
    expect(found()).toEqual(['server-A']);
  });
});

describe('what somebody wants', () => {
  it('is never an orphan: neither what is being stopped, nor what failed and is not cleaned up yet', async () => {
    const runner = new FakeRunner();
    runner.world.set('A', new Set([1])).set('B', new Set([2]));
    runner.hold('stop');
    await boot({
      runner,
      state: [
        desired('A', [{ gpu_id: 1, wanted: 'release' }]),
        desired('B', [{ gpu_id: 2, wanted: 'failed' }]),
      ],
    });
    await time(200);
    expect(removals()).toEqual([]);
  });

  it('is never an orphan while it starts, or drains longer than the grace', async () => {
    const runner = new FakeRunner();
    runner.hold('start');
    runner.work = { open: 1, finished: 0 };
    await boot({ runner, orphans: { interval_seconds: 1, grace_seconds: 1 } });
    await house.supervisor.start('A', 0, {});
    runner.world.set('A', new Set([0]));
    await time(20);
    expect(found()).toEqual([]);
    runner.letGo('start');
    await time(1);
    expect(house.status()).toEqual(['A 0 RUNNING']);
    const stopping = house.supervisor.stop('A', 0, { drainSeconds: 200 });
    await time(150);
    expect([...removals(), ...found()]).toEqual([]);
    await time(60);
    expect((await stopping).placement?.status).toBe('STOPPED');
  });

  it('is told by its GPU: the server of another goes', async () => {
    const runner = new FakeRunner();
    runner.world.set('A', new Set([0, 1]));
    await boot({ runner, state: [desired('A', [{ gpu_id: 1, wanted: 'serve' }])] });
    await time(1);
    expect(found()).toEqual(['server-A']);
    await time(61);
    expect(removals()).toEqual(['remove A']);
    expect(runner.servedOn('A')).toEqual([1]);
    expect(house.status()).toEqual(['A 1 RUNNING']);
  });

  it('is told by its GPU, also of a model that the configuration does not have any more', async () => {
    const runner = new FakeRunner();
    runner.world.set('Gone', new Set([0, 1]));
    await boot({ runner, state: [desired('Gone', [{ gpu_id: 1, wanted: 'serve' }])] });
    await time(62);
    expect(runner.servedOn('Gone')).toEqual([1]);
  });

  it('includes what the configuration does not have any more', async () => {
    const runner = new FakeRunner();
    runner.world.set('Gone', new Set([0]));
    await boot({ runner, state: [desired('Gone', [{ gpu_id: 0, wanted: 'serve' }])] });
    await time(200);
    expect(removals()).toEqual([]);
    expect(found()).toEqual([]);
  });

  it('is kept when the start came within the grace', async () => {
    await boot();
    house.runner.world.set('A', new Set([0]));
    await time(30);
    expect(found()).toEqual(['server-A']);
    await house.supervisor.start('A', 0, {});
    await time(100);
    expect(removals()).toEqual([]);
    expect(found()).toEqual([]);
    expect(house.status()).toEqual(['A 0 RUNNING']);
    expect(house.runner.calls).toEqual([]); // it served already
  });

  it('is kept when the start comes between the decision to remove it and its turn', async () => {
    await boot();
    house.runner.world.set('A', new Set([0]));
    let goOn: (() => void) | undefined;
    house.runner.beforeRemoval = () => new Promise((resolve) => (goOn = resolve));
    await time(61);
    expect(removals()).toEqual(['remove A']);
    await house.supervisor.start('A', 0, {});
    goOn?.();
    await time(1);
    expect(house.runner.servedOn('A')).toEqual([0]);
    expect(house.status()).toEqual(['A 0 RUNNING']);
    expect(said('An orphan was removed')).toEqual([]);
  });
});

describe('trouble', () => {
  it('concludes nothing while nobody can tell, and says so once', async () => {
    await boot();
    house.runner.world.set('A', new Set([0]));
    await time(20);
    house.runner.findError = new EngineUnavailableError('Cannot connect to the Docker daemon.');
    await time(200);
    expect(removals()).toEqual([]);
    expect(found()).toEqual(['server-A']);
    expect(said('Nobody can tell')).toHaveLength(1);
    const looks = house.runner.findCalls;
    expect(looks).toBeLessThan(12); // at the interval, no hot loop
    house.runner.findError = undefined;
    await time(31);
    expect(removals()).toEqual(['remove A']);
  });

  it('tries a removal that failed again at the interval, and shows why', async () => {
    await boot();
    house.runner.world.set('A', new Set([0]));
    house.runner.immortal.add('A');
    await time(62);
    expect(removals()).toEqual(['remove A']);
    expect(house.orphans.list().map(toOrphanInfo)).toMatchObject([
      { error: { code: 'STOP_FAILED', message: 'server-A could not be stopped' } },
    ]);
    house.runner.immortal.clear();
    await time(32);
    expect(removals()).toEqual(['remove A', 'remove A']);
    expect(found()).toEqual([]);
  });

  it('does not look while a look hangs, and a backend that hangs holds up no other', async () => {
    const other = new FakeRunner(['C'], 'other');
    await boot({ moreRunners: [other] });
    house.runner.findHangs = true;
    other.world.set('C', new Set([0]));
    await time(9);
    expect(house.runner.findCalls).toBe(1);
    expect(found()).toEqual(['server-C']);
    await time(60);
    expect(other.servedOn('C')).toEqual([]);
  });

  it('a wall clock that jumps neither hastens nor delays a removal', async () => {
    await boot();
    house.runner.world.set('A', new Set([0]));
    await time(1);
    const wallClock = jest.spyOn(house.clock, 'now').mockReturnValue(new Date('2024-01-02T00:00:00.000Z'));
    await time(30);
    expect(removals()).toEqual([]);
    wallClock.mockReturnValue(new Date('2023-12-01T00:00:00.000Z'));
    await time(31);
    expect(removals()).toEqual(['remove A']);
  });

  it('breaks off a removal when the service ends', async () => {
    await boot();
    house.runner.world.set('A', new Set([0]));
    house.runner.unending.add('A');
    await time(61);
    expect(removals()).toEqual(['remove A']);
    await house.orphans.beforeApplicationShutdown();
    expect(house.runner.servedOn('A')).toEqual([0]);
  });

  it('does not look before the state was read, nor once the service ends', async () => {
    house = House.withMemory();
    await time(1);
    expect(house.runner.findCalls).toBe(0);
    await house.boot();
    await house.supervisor.beforeApplicationShutdown();
    await time(40);
    expect(house.runner.findCalls).toBe(0);
  });
});
