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
async function expectEverywhere(house: House): Promise<void> {
  const all = ['A 0 ERROR', 'A 1 ERROR', 'B 2 ERROR'];
  await pass(5000);
  await house.probe();
  expect(house.status()).toEqual(all);
  expect(house.store.wanted()).toEqual({ A: ['0 failed', '1 failed'], B: ['2 failed'] });
  expect(house.runner.servedOn('A')).toEqual([]);
  expect(house.runner.servedOn('B')).toEqual([]);
  await house.supervisor.beforeApplicationShutdown();
  const { runner, store } = house;
  const next = await House.withMemory({ runner, state: [...store.saved.values()] }).boot();
  await next.probe();
  expect(next.status()).toEqual(all);
  expect([...house.defects(), ...next.defects()]).toEqual([]);
}

describe('the end of a server over the API, where two models share it and the disk becomes full', () => {
  it.each([0, 1, 2])('after %i writes: all is ended, and written when it can be', async (writes) => {
    const house = await serving();
    house.store.writesLeft = writes;
    const ended = house.supervisor.endServer(SERVER, 'a test');
    await settled();
    expect(await ended).toEqual(['A@0', 'A@1', 'B@2']);
    house.store.isFull = false;
    house.store.writesLeft = Infinity;
    await expectEverywhere(house);
  });
});
