import type { DeploymentView } from '../../src/models/supervisor/supervisor.js';
import { toInstanceInfo } from '../../src/models/api/views.js';
import { pass, settled } from '../fakes/timers.js';
import { AT_WORK, useServingHouse } from './drain-rig.js';
import { house } from './house-rig.js';

useServingHouse();

type Told = [drained: boolean | undefined, reason: string | undefined];

/** A stop, and what its answer says of the drain; `undefined` while it is under way. */
function stopped(asked: { drainSeconds?: number; force?: boolean }, gpuId = 0): { told: Told | undefined } {
  const stop: { told: Told | undefined } = { told: undefined };
  house.supervisor.stop('A', gpuId, asked).then(
    (view: DeploymentView) => {
      const { drained, drain_reason: reason } = toInstanceInfo(view);
      stop.told = [drained, reason];
    },
    () => undefined,
  );
  return stop;
}

describe('the answer to a stop', () => {
  it('says that all requests were worked off', async () => {
    house.runner.work = AT_WORK;
    const stop = stopped({ drainSeconds: 30 });
    await pass(5000);
    house.runner.work = { open: 0, finished: 10 };
    await pass(1500);
    expect(stop.told).toEqual([true, undefined]);
  });

  it.each([
    [{ open: 3, finished: 7 }, '3 requests were still open when the 5 s of the drain were over.'],
    [{ open: 1, finished: 7 }, '1 request was still open when the 5 s of the drain were over.'],
  ])('says how many were not: %j', async (work, reason) => {
    house.runner.work = work;
    const stop = stopped({ drainSeconds: 5 });
    await pass(5000);
    expect(stop.told).toEqual([false, reason]);
  });

  it.each([5, 5.0007])(
    'says how many were not, also where the end of the drain cuts the last look short: %d s',
    async (drainSeconds) => {
      house.runner.work = { open: 3, finished: 7 };
      const stop = stopped({ drainSeconds });
      await pass(4700);
      house.runner.work = 'hangs';
      await pass(320);
      expect(stop.told).toEqual([
        false,
        expect.stringMatching(/^3 requests were still open when the 5\S* s of the drain were over\.$/),
      ]);
    },
  );

  it('says that requests were still being finished', async () => {
    const stop = stopped({ drainSeconds: 2 });
    for (let finished = 0; finished < 10; finished += 1) {
      house.runner.work = { open: 0, finished };
      await pass(250);
    }
    expect(stop.told).toEqual([
      false,
      'Requests were still being finished when the 2 s of the drain were over.',
    ]);
  });

  it('says nothing of a drain that nobody asked for', async () => {
    house.runner.work = AT_WORK;
    const stop = stopped({ drainSeconds: 0 });
    await settled();
    expect(stop.told).toEqual([undefined, undefined]);
  });

  it('says what the configuration lacks', async () => {
    house.runner.work = null;
    house.runner.vain = 'Nothing says how many requests are open: say where.';
    const stop = stopped({ drainSeconds: 30 });
    await settled();
    expect(stop.told).toEqual([false, 'Nothing says how many requests are open: say where.']);
  });

  it('says that the server does not tell, where nothing else is known', async () => {
    house.runner.work = null;
    const stop = stopped({ drainSeconds: 30 });
    await settled();
    expect(stop.told).toEqual([false, 'The server of A does not say how many requests are open.']);
  });

  it('says why the backend could not be asked', async () => {
    house.runner.work = new Error('GET /metrics answered 404');
    const stop = stopped({ drainSeconds: 30 });
    await pass(1000);
    expect(stop.told).toEqual([false, 'Its requests could not be counted: GET /metrics answered 404.']);
  });

  it.each([
    [0, 'Its requests could not all be counted: /metrics has no queue_length.'],
    [2, '2 requests were still open when the 3 s of the drain were over.'],
  ])('is not "drained" where some requests are in no count, with %d counted', async (open, reason) => {
    house.runner.work = { open, finished: 0, uncounted: '/metrics has no queue_length' };
    const stop = stopped({ drainSeconds: 3 });
    await pass(3001);
    expect(stop.told).toEqual([false, reason]);
  });

  it('says how long it waited in a number that people read', async () => {
    house.runner.work = new Error('x');
    const stop = stopped({ drainSeconds: 1.9999415530000115 });
    await pass(10);
    house.runner.work = 'hangs';
    await pass(2001);
    expect(stop.told?.[1]).toMatch(
      /when the 2 s of the drain were over: not done within \d(?:\.\d{1,3})? s\.$/,
    );
  });

  it('says that a backend which hangs could not be asked', async () => {
    house.runner.work = 'hangs';
    const stop = stopped({ drainSeconds: 1 });
    await pass(1001);
    expect(stop.told?.[0]).toBe(false);
    expect(stop.told?.[1]).toMatch(/when the 1 s of the drain were over/);
  });

  it('says that the drain was cut by force, or by a further stop', async () => {
    house.runner.work = AT_WORK;
    const [first, second] = [stopped({ drainSeconds: 30 }), stopped({ force: true })];
    await settled();
    expect(first.told).toEqual([false, 'It was stopped by force.']);
    expect(second.told).toEqual(first.told);
    await house.running('A', 1);
    const third = stopped({ drainSeconds: 30 }, 1);
    await settled();
    stopped({ drainSeconds: 0 }, 1);
    await settled();
    expect(third.told).toEqual([false, 'A further stop ended the drain.']);
  });

  it('says that it came after a stop without one', async () => {
    house.runner.work = AT_WORK;
    house.runner.hold('stop');
    const first = stopped({});
    const call = await house.runner.nextCall('stop');
    const second = stopped({ drainSeconds: 30 });
    await settled();
    call.succeed();
    house.runner.letGo('stop');
    await settled();
    expect(second.told).toEqual([false, 'An earlier stop, without a drain, was under way.']);
    expect(first.told).toEqual(second.told);
  });

  it('says that the backend did not finish what it was told to finish', async () => {
    house.runner.work = { open: 0, finished: 1 };
    house.runner.hold('stop');
    const stop = stopped({ drainSeconds: 60 });
    await pass(2000);
    house.runner.lastStop?.onCutShort?.();
    house.runner.letGo('stop');
    await settled();
    expect(stop.told).toEqual([false, 'Requests were still under way when the 60 s of the drain were over.']);
  });

  it('says that what did not serve had nothing to work off', async () => {
    house.runner.hold('start');
    await house.supervisor.start('A', 1, {});
    await house.runner.nextCall('start');
    house.runner.letGo('start');
    const stop = stopped({ drainSeconds: 30 }, 1);
    await pass(100);
    expect(stop.told).toEqual([false, 'It was STARTING when it was stopped, and served no requests.']);
  });

  it('says of a GPU taken from a model that serves on elsewhere that nothing was cut off', async () => {
    await house.running('A', 1);
    house.runner.work = null;
    const stop = stopped({ drainSeconds: 30 });
    await settled();
    expect(stop.told).toEqual([true, undefined]);
  });
});
