import { jest } from '@jest/globals';
import { House } from '../fakes/house.js';
import { pass, settled, useFakeTime } from '../fakes/timers.js';

beforeEach(useFakeTime);
afterEach(() => {
  jest.useRealTimers();
});

/** The one server of all models of the fake backend. */
const SERVER = 'server';

async function serving(): Promise<House> {
  const house = House.withMemory();
  house.runner.isShared = true;
  await house.boot();
  await house.running('A', 0, 1);
  await house.running('B', 2);
  return house;
}

/** All of it, after a while and after a restart of the service. */
async function expectEverywhere(house: House, status: string, wanted: string): Promise<void> {
  const all = [`A 0 ${status}`, `A 1 ${status}`, `B 2 ${status}`];
  await pass(5000);
  await house.probe();
  expect(house.status()).toEqual(all);
  expect(house.store.wanted()).toEqual({ A: [`0 ${wanted}`, `1 ${wanted}`], B: [`2 ${wanted}`] });
  const isServed = status === 'RUNNING';
  expect(house.runner.servedOn('A')).toEqual(isServed ? [0, 1] : []);
  expect(house.runner.servedOn('B')).toEqual(isServed ? [2] : []);
  await house.supervisor.beforeApplicationShutdown();
  const { runner, store } = house;
  const next = await House.withMemory({ runner, state: [...store.saved.values()] }).boot();
  await next.probe();
  expect(next.status()).toEqual(all);
  expect([...house.defects(), ...next.defects()]).toEqual([]);
}

describe('the end of a server over the API, where two models share it and the disk becomes full', () => {
  it.each([0, 1, 2])('after %i writes: all is ended or nothing is', async (writes) => {
    const house = await serving();
    house.store.writesLeft = writes;
    const ended = house.supervisor.endServer(SERVER, 'a test').then(
      (placements) => placements.join(),
      (error: unknown) => (error as { code?: string }).code,
    );
    await settled();
    const outcome = await ended;
    house.store.isFull = false;
    house.store.writesLeft = Infinity;
    if (outcome === 'STATE_WRITE_FAILED') await expectEverywhere(house, 'RUNNING', 'serve');
    else {
      expect(outcome).toBe('A@0,A@1,B@2');
      await expectEverywhere(house, 'ERROR', 'failed');
    }
  });
});
