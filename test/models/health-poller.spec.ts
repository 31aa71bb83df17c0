import { jest } from '@jest/globals';
import { HealthPoller } from '../../src/models/watch/health-poller.js';
import { House } from '../fakes/house.js';
import { pass, settled, useFakeTime } from '../fakes/timers.js';

let house: House;
let poller: HealthPoller;

beforeEach(async () => {
  useFakeTime();
  house = await House.withMemory().boot();
  poller = new HealthPoller(house.supervisor, house.clock, house.config);
});
afterEach(() => {
  jest.useRealTimers();
});

/** Ticks, as the scheduler gives them, for so long; returns the number of looks at the backend. */
async function looksIn(ms: number): Promise<number> {
  const before = house.runner.statusCalls;
  for (let passed = 0; passed < ms; passed += 50) {
    await pass(50);
    poller.tick();
    await settled();
  }
  return house.runner.statusCalls - before;
}

describe('the health poller', () => {
  it('looks slowly while all is quiet', async () => {
    await house.running('A', 0);
    expect(await looksIn(20_000)).toBe(10);
  });

  it('looks fast while something starts, and sees at once that it is there', async () => {
    house.runner.hold('start');
    await house.supervisor.start('A', 0, {});
    await looksIn(100);
    expect(await looksIn(1000)).toBe(10);
    house.runner.phase = 'ready';
    await looksIn(100);
    expect(house.status()).toEqual(['A 0 RUNNING']);
  });

  it('asks nobody while there is no model', async () => {
    expect(await looksIn(10_000)).toBe(0);
  });

  it('goes on with other models while one backend hangs', async () => {
    await house.running('A', 0);
    await house.running('B', 1);
    const ask = house.runner.getStatus.bind(house.runner);
    jest.spyOn(house.runner, 'getStatus').mockImplementation((deployment) => {
      return deployment.modelName === 'A' ? new Promise(() => undefined) : ask(deployment);
    });
    house.runner.world.delete('B');
    await looksIn(2000);
    expect(house.runner.calls).toEqual(['start B [1]']);
    expect(house.status()).toEqual(['A 0 RUNNING', 'B 1 RUNNING']);
  });
});
