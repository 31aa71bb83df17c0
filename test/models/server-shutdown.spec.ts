import { jest } from '@jest/globals';
import { EngineUnavailableError } from '../../src/launchers/launcher.js';
import { FakeRunner } from '../fakes/fake-runner.js';
import { House } from '../fakes/house.js';
import { pass, settled, useFakeTime } from '../fakes/timers.js';

let house: House;

beforeEach(async () => {
  useFakeTime();
  house = await House.withMemory({ shutdown: { policy: 'stop', stop_timeout_seconds: 60 } }).boot();
});
afterEach(() => {
  expect(house.defects()).toEqual([]);
  jest.useRealTimers();
});

/** The end of the service, and what it has to say of servers that are left. */
async function close() {
  await house.supervisor.beforeApplicationShutdown();
  return house.shutdown.failure;
}

describe('the end of the service with shutdown.policy: stop', () => {
  it('stops every server; what was wanted stays wanted, and the next run starts it', async () => {
    await house.running('A', 0, 1);
    await house.running('B', 2);
    await close();
    expect(house.runner.calls.sort()).toEqual(['remove A', 'remove B']);
    expect(house.runner.servedOn('A')).toEqual([]);
    expect(house.store.wanted()).toEqual({ A: ['0 serve', '1 serve'], B: ['2 serve'] });
    const next = await House.withMemory({ state: [...house.store.saved.values()] }).boot();
    expect(next.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING', 'B 2 RUNNING']);
  });

  it('also stops servers that no deployment knows of', async () => {
    house.runner.world.set('B', new Set([3]));
    await close();
    expect(house.runner.calls).toEqual(['remove B']);
  });

  it('says nothing is RUNNING while servers end, and why', async () => {
    await house.running('A', 0);
    house.runner.unending.add('A');
    const closing = close();
    await settled();
    expect(house.placement('A', 0)).toEqual({
      status: 'STARTING',
      progress: 'stopped with this service; starts again with it',
    });
    await pass(60_000);
    await closing;
  });

  it('interrupts a start under way first, and stops the server it had launched', async () => {
    house.runner.hold('start');
    await house.supervisor.start('A', 0, {});
    const call = await house.runner.nextCall('start');
    house.runner.world.set('A', new Set([0]));
    await close();
    expect(call.context.signal.aborted).toBe(true);
    expect(house.runner.calls).toEqual(['start A [0]', 'remove A']);
    expect(house.store.wanted()).toEqual({ A: ['0 serve'] });
  });

  it('completes in the next run a stop that it interrupts, and tells who waits', async () => {
    await house.running('A', 0);
    house.runner.hold('stop');
    const stopping = house.supervisor.stop('A', 0);
    const answer = expect(stopping).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    await house.runner.nextCall('stop');
    await close();
    await answer;
    expect(house.runner.servedOn('A')).toEqual([]);
    expect(house.store.wanted()).toEqual({ A: ['0 release'] });
  });

  it('ends by force what has not ended at the deadline, and not before', async () => {
    await house.running('A', 0);
    house.runner.unending.add('A');
    const closing = close();
    await pass(59_900);
    expect(house.runner.calls).toEqual(['remove A']);
    await pass(200);
    await expect(closing).resolves.toBeUndefined();
    expect(house.runner.calls).toEqual(['remove A', 'remove A by force']);
  });

  it('fails, and names what is left and why, when force does not help either', async () => {
    await house.running('A', 0);
    await house.running('B', 1);
    house.runner.immortal.add('A');
    const closing = close();
    const failure = expect(closing).resolves.toMatchObject({
      code: 'SERVERS_LEFT',
      message: expect.stringMatching(/server-A \(process \d+\).*could not be stopped/) as string,
      facts: { servers: ['server-A (process 5000100)'] },
    });
    await pass(65_100);
    await failure;
    expect(house.runner.servedOn('B')).toEqual([]);
  });

  it('fails when nobody can tell what is left, for as long as it may take', async () => {
    await house.running('A', 0);
    house.runner.findError = new EngineUnavailableError('Cannot connect to the Docker daemon.');
    const closing = close();
    const failure = expect(closing).resolves.toMatchObject({
      code: 'SERVERS_LEFT',
      message: expect.stringContaining('Cannot connect to the Docker daemon') as string,
    });
    await pass(65_100);
    await failure;
  });

  it('goes on when the Engine comes back in time', async () => {
    await house.running('A', 0);
    house.runner.findError = new EngineUnavailableError('Cannot connect to the Docker daemon.');
    const closing = close();
    await pass(10_000);
    house.runner.findError = undefined;
    await pass(1000);
    await expect(closing).resolves.toBeUndefined();
    expect(house.runner.servedOn('A')).toEqual([]);
  });

  it('tries again what fails to stop', async () => {
    await house.running('A', 0);
    house.runner.removalErrors.push(new Error('the Engine stumbled'));
    const closing = close();
    await pass(1000);
    await closing;
    expect(house.runner.calls).toEqual(['remove A', 'remove A']);
  });

  it('is bounded when the list of servers hangs', async () => {
    house.runner.findHangs = true;
    const closing = close();
    const failure = expect(closing).resolves.toMatchObject({ code: 'SERVERS_LEFT' });
    await pass(65_100);
    await failure;
  });
});

it('with shutdown.policy: keep, asks nobody and ends nothing', async () => {
  const runner = new FakeRunner();
  const kept = await House.withMemory({ runner }).boot();
  await kept.running('A', 0);
  await kept.supervisor.beforeApplicationShutdown();
  expect(runner.calls).toEqual([]);
  expect(runner.findCalls).toBe(0);
  expect(kept.placement('A', 0)).toEqual({ status: 'RUNNING' });
});
