import { ModelLoadError, ServerLostError } from '../../src/runners/errors.js';
import { EngineUnavailableError } from '../../src/launchers/launcher.js';
import { pass, settled } from '../fakes/timers.js';
import { house, outcome, start, stop, useHouse } from './house-rig.js';

useHouse();

const NOW = '2024-01-01T00:00:00.000Z';

describe('a start', () => {
  it('is STARTING when it is accepted, and RUNNING when the backend says so', async () => {
    house.runner.hold('start');
    await start(0);
    const call = await house.runner.nextCall('start');
    expect(house.status()).toEqual(['A 0 STARTING']);
    expect(house.store.wanted()).toEqual({ A: ['0 serve'] });
    call.succeed();
    await settled();
    expect(house.status()).toEqual(['A 0 RUNNING']);
    expect(house.history()).toEqual(['0 STOPPED→STARTING', '0 STARTING→RUNNING']);
  });

  it('is RUNNING as soon as a probe finds it ready, though the call is still under way', async () => {
    house.runner.hold('start');
    await start(0);
    const call = await house.runner.nextCall('start');
    house.runner.phase = 'ready';
    await house.probe();
    expect(house.status()).toEqual(['A 0 RUNNING']);
    house.runner.phase = undefined;
    call.succeed();
    await settled();
    expect(house.status()).toEqual(['A 0 RUNNING']);
  });

  it('of a further GPU starts the whole deployment, and touches nothing that runs', async () => {
    await house.running('A', 0);
    await start(2);
    await settled();
    expect(house.runner.calls).toEqual(['start A [0,2]']);
    expect(house.history()).toEqual(['2 STOPPED→STARTING', '2 STARTING→RUNNING']);
  });

  it('accepted while another is under way is carried out after it, and not blamed for it', async () => {
    house.runner.hold('start');
    await start(0);
    const first = await house.runner.nextCall('start');
    await start(1);
    first.fail(new ModelLoadError('no room on GPU 0'));
    await settled();
    expect(house.status()).toEqual(['A 0 ERROR', 'A 1 STARTING']);
    (await house.runner.nextCall('start')).succeed();
    await settled();
    expect(house.runner.calls).toEqual(['start A [0]', 'stop A [0] keep [1]', 'start A [1]']);
    expect(house.status()).toEqual(['A 0 ERROR', 'A 1 RUNNING']);
  });

  it('seen ready before its call has ended does not count against a GPU that came later', async () => {
    house.runner.hold('start');
    await start(0);
    const first = await house.runner.nextCall('start');
    house.runner.phase = 'ready';
    await house.probe();
    house.runner.phase = undefined;
    await start(1);
    first.succeed();
    (await house.runner.nextCall('start')).succeed();
    await settled();
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
  });

  it('that fails for good is an ERROR in the backend’s words, on disk too, and cleaned up', async () => {
    house.runner.failNext(
      'start',
      new ModelLoadError('Triton could not load A: no model.py', { log: ['last'] }),
    );
    await start(0);
    await settled();
    expect(house.placement('A', 0)).toEqual({
      status: 'ERROR',
      error: 'MODEL_LOAD_FAILED: Triton could not load A: no model.py',
    });
    expect(house.store.saved.get('A')?.placements).toEqual([
      {
        gpu_id: 0,
        gpus: [{ gpu_id: 0, gpu_uuid: 'GPU-0' }],
        wanted: 'failed',
        error: {
          code: 'MODEL_LOAD_FAILED',
          message: 'Triton could not load A: no model.py',
          log: ['last'],
          at: NOW,
        },
        history: { status: 'ERROR', since: NOW, restarts: 0 },
      },
    ]);
    expect(house.runner.calls).toEqual(['start A [0]', 'stop A [0]']);
    await house.probe();
    expect(house.runner.calls).toHaveLength(2);
  });

  it('that failed can be tried again', async () => {
    house.runner.failNext('start', new ModelLoadError('broken'));
    await start(0);
    await settled();
    await start(0);
    await settled();
    expect(house.history()).toEqual([
      '0 STOPPED→STARTING',
      '0 STARTING→ERROR',
      '0 ERROR→STARTING',
      '0 STARTING→RUNNING',
    ]);
    expect(house.store.wanted()).toEqual({ A: ['0 serve'] });
  });

  it('that lost its server is tried again, with growing delay, and then given up', async () => {
    house.runner.failNext('start', ...Array.from({ length: 9 }, () => new ServerLostError('it died')));
    await start(0);
    await settled();
    expect(house.placement('A', 0)).toEqual({ status: 'STARTING', progress: 'trying again after: it died' });
    const tries: number[] = [];
    for (let second = 1; second <= 10; second += 1) {
      const before = house.runner.calls.length;
      await pass(1000);
      if (house.runner.calls.length > before) tries.push(second);
    }
    expect(tries).toEqual([1, 3, 7]);
    expect(house.placement('A', 0)).toEqual({ status: 'ERROR', error: 'SERVER_LOST: it died' });
  });

  it('that waits for what is away for now is tried for as long as it takes', async () => {
    house.runner.failNext('start', ...Array.from({ length: 400 }, () => new EngineUnavailableError('away')));
    await start(0);
    await pass(399_500);
    expect(house.status()).toEqual(['A 0 STARTING']);
    expect(house.runner.calls).toHaveLength(400);
    await pass(1000);
    expect(house.status()).toEqual(['A 0 RUNNING']);
  });

  it('that comes through after a long wait gets all its time to become ready', async () => {
    house.runner.failNext('start', ...Array.from({ length: 150 }, () => new EngineUnavailableError('away')));
    house.runner.phase = 'absent';
    await start(0);
    await pass(149_500);
    house.runner.hold('start');
    await pass(1000);
    const call = await house.runner.nextCall('start');
    house.runner.phase = 'starting';
    call.succeed();
    await settled();
    expect(house.status()).toEqual(['A 0 STARTING']);
    await pass(house.runner.startTimeoutMs);
    await house.probe();
    expect(house.placement('A', 0)?.error).toBe('BACKEND_TIMEOUT: A was not ready within 100 s.');
  });

  it('of which the backend only says that it is done counts as lost', async () => {
    house.runner.phase = 'absent';
    await start(0);
    await settled();
    expect(house.runner.calls).toEqual(['start A [0]']);
    expect(house.placement('A', 0)?.progress).toMatch(
      /^trying again after: The backend said that it is done/,
    );
    house.runner.phase = undefined;
    house.runner.world.clear();
    await pass(1000);
    expect(house.status()).toEqual(['A 0 RUNNING']);
  });

  it('that does not end is given up at its deadline', async () => {
    house.runner.hold('start');
    await start(0);
    await pass(house.runner.startTimeoutMs);
    expect(house.placement('A', 0)?.error).toBe('BACKEND_TIMEOUT: A was not ready within 100 s.');
    expect(house.runner.calls).toEqual(['start A [0]', 'stop A [0]']);
  });

  it('that does not even heed its signal holds up nothing for ever', async () => {
    house.runner.ignoresSignals = true;
    house.runner.hold('start');
    await start(0);
    await settled();
    const stopped = outcome(stop(0));
    house.runner.overlapped = false;
    await pass(5000);
    expect(await stopped).toBe('done');
    house.runner.overlapped = false; // the price of going on
  });

  it('shows how far it is', async () => {
    house.runner.hold('start');
    await start(0);
    const call = await house.runner.nextCall('start');
    call.context.onProgress('pulling: 41 %');
    expect(house.placement('A', 0)?.progress).toBe('pulling: 41 %');
    call.succeed();
    await settled();
    expect(house.placement('A', 0)).toEqual({ status: 'RUNNING' });
  });
});
