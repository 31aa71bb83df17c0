import { jest } from '@jest/globals';
import { StopFailedError } from '../../src/launchers/launcher.js';
import { House } from '../fakes/house.js';
import { pass, settled, useFakeTime } from '../fakes/timers.js';

beforeEach(useFakeTime);
afterEach(() => {
  jest.useRealTimers();
});

const BY = '127.0.0.1 (request r1)';
const ENDED = `ENDED_OVER_API: ended over the API by ${BY}. It is not restarted: start it again, or stop it.`;

function shared(settings: Parameters<typeof House.withMemory>[0] = {}): House {
  const house = House.withMemory(settings);
  house.runner.isShared = true;
  return house;
}

/** The name of the one server of all models of the fake backend. */
const SERVER = 'server';

describe('a server that is ended over the API', () => {
  it('takes all that it serves to ERROR, on disk too, and nothing brings it back', async () => {
    const house = await shared().boot();
    await house.running('A', 0, 1);
    await house.running('B', 2);
    expect(house.supervisor.placementsOn(SERVER)).toEqual(['A@0', 'A@1', 'B@2']);
    const ended = house.supervisor.endServer(SERVER, BY);
    await settled();
    expect(await ended).toEqual(['A@0', 'A@1', 'B@2']);
    expect(house.placement('A', 0)).toEqual({ status: 'ERROR', error: ENDED });
    expect(house.store.wanted()).toEqual({ A: ['0 failed', '1 failed'], B: ['2 failed'] });
    expect(house.runner.servedOn('A')).toEqual([]);
    expect(house.runner.servedOn('B')).toEqual([]);
    for (let second = 0; second < 10; second += 1) {
      await pass(1000);
      await house.probe();
    }
    expect(house.status()).toEqual(['A 0 ERROR', 'A 1 ERROR', 'B 2 ERROR']);
    expect(house.runner.calls.filter((call) => call.startsWith('start'))).toEqual([]);
    expect(house.defects()).toEqual([]);
  });

  it('stays ended after a restart of the service; a start brings it back, a stop clears it away', async () => {
    const before = await shared().boot();
    await before.running('A', 0, 1);
    const ended = before.supervisor.endServer(SERVER, BY);
    await settled();
    await ended;
    await before.supervisor.beforeApplicationShutdown();
    const { runner } = before;
    const house = await shared({ runner, state: [...before.store.saved.values()] }).boot();
    await house.probe();
    expect(house.placement('A', 0)).toEqual({ status: 'ERROR', error: ENDED });
    expect(runner.servedOn('A')).toEqual([]);
    await house.supervisor.start('A', 0, {});
    await settled();
    await house.supervisor.stop('A', 1);
    expect(house.status()).toEqual(['A 0 RUNNING']);
  });

  it('is one whose placement still starts', async () => {
    const house = await shared().boot();
    house.runner.hold('start');
    await house.supervisor.start('A', 0, {});
    await settled();
    const ended = house.supervisor.endServer(SERVER, BY);
    await settled();
    expect(await ended).toEqual(['A@0']);
    house.runner.letGo('start');
    await pass(5000);
    await house.probe();
    expect(house.placement('A', 0)).toMatchObject({ status: 'ERROR', error: ENDED });
    expect(house.runner.servedOn('A')).toEqual([]);
  });

  it('completes the stops that are under way, which stay stops', async () => {
    const house = await shared().boot();
    await house.running('A', 0, 1);
    house.runner.hold('stop');
    const stopped = house.supervisor.stop('A', 0);
    await settled();
    const ended = house.supervisor.endServer(SERVER, BY);
    await settled();
    house.runner.letGo('stop');
    await settled();
    expect(await ended).toEqual(['A@1']);
    expect((await stopped).placement?.status).toBe('STOPPED');
    expect(house.status()).toEqual(['A 1 ERROR']);
  });

  it('is ended once for all who ask at once', async () => {
    const house = await shared().boot();
    await house.running('A', 0);
    const ends = [1, 2, 3].map(() => house.supervisor.endServer(SERVER, BY));
    await settled();
    expect(await Promise.all(ends)).toEqual([['A@0'], [], []]);
    expect(house.status()).toEqual(['A 0 ERROR']);
  });

  it('is followed by a start that was accepted meanwhile, whatever that finds', async () => {
    const house = await shared().boot();
    await house.running('A', 0);
    house.runner.hold('force');
    const ended = house.supervisor.endServer(SERVER, BY);
    await settled();
    await house.supervisor.start('A', 0, {});
    expect(house.store.wanted()).toEqual({ A: ['0 release', '0 serve'] });
    expect(house.placement('A', 0)).toMatchObject({ status: 'STARTING' });
    house.runner.letGo('force');
    await settled();
    expect(await ended).toEqual(['A@0']);
    await house.probe();
    expect(house.status()).toEqual(['A 0 RUNNING']);
    expect(house.runner.calls.findIndex((call) => call.startsWith('force'))).toBeLessThan(
      house.runner.calls.findIndex((call) => call.startsWith('start')),
    );
    expect(house.defects()).toEqual([]);
  });

  it('that cannot be ended is said to be so; its placements say what was asked', async () => {
    const house = await shared().boot();
    await house.running('A', 0);
    house.runner.failNext('force', new StopFailedError('process 7 is still there'));
    const ended = house.supervisor.endServer(SERVER, BY);
    const outcome = expect(ended).rejects.toThrow('process 7 is still there');
    await settled();
    await outcome;
    expect(house.placement('A', 0)).toMatchObject({ status: 'ERROR' });
    await pass(5000);
    await house.probe();
    expect(house.runner.servedOn('A')).toEqual([]); // it was tried again
  });

  it('is ended where what is wanted cannot be written, and that is said', async () => {
    const house = await shared().boot();
    await house.running('A', 0);
    house.store.isFull = true;
    const ended = house.supervisor.endServer(SERVER, BY);
    await settled();
    expect(await ended).toEqual(['A@0']);
    expect(house.supervisor.unsaved).toContain('the disk is full');
    expect(house.status()).toEqual(['A 0 ERROR']);
    expect(house.runner.servedOn('A')).toEqual([]);
  });

  it('that serves nothing is none of its business', async () => {
    const house = await shared().boot();
    expect(house.supervisor.placementsOn('other')).toEqual([]);
    expect(await house.supervisor.endServer('other', BY)).toEqual([]);
  });
});
