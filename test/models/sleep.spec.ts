import { jest } from '@jest/globals';
import { DomainError } from '../../src/common/errors.js';
import { SleepFailedError } from '../../src/runners/sleep.js';
import { FakeRunner } from '../fakes/fake-runner.js';
import { House } from '../fakes/house.js';
import { pass, settled, useFakeTime } from '../fakes/timers.js';

beforeEach(useFakeTime);
afterEach(() => {
  jest.useRealTimers();
});

const SLEEP = { kind: 'sleep', level: 1 } as const;
const DEEP = { kind: 'sleep', level: 2 } as const;
const WAKE = { kind: 'wake' } as const;

async function running(...gpuIds: number[]): Promise<House> {
  return runningOn(new FakeRunner(), ...gpuIds);
}

async function runningOn(runner: FakeRunner, ...gpuIds: number[]): Promise<House> {
  const house = await House.withMemory({ runner }).boot();
  await house.running('A', ...gpuIds);
  house.runner.calls.length = 0;
  return house;
}

/** Servers that measure free memory as they start. */
function measuring(): FakeRunner {
  return Object.assign(new FakeRunner(), { measures: true });
}

/** The code of what it is rejected with. */
function code(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'ok',
    (error: unknown) => (error instanceof DomainError ? error.code : String(error)),
  );
}

describe('a sleep', () => {
  it('is answered when the backend has done it, keeps the placement RUNNING, and once more changes nothing', async () => {
    const house = await running(0, 1);
    house.runner.hold('sleep');
    const answer = house.supervisor.sleepOrWake('A', 0, DEEP);
    const call = await house.runner.nextCall('sleep');
    call.context.onProgress('falling asleep');
    expect(house.placement('A', 0)).toEqual({ status: 'RUNNING', progress: 'falling asleep' });
    call.succeed();
    const view = await answer;
    expect(view.placement).toMatchObject({ gpuId: 0, status: 'RUNNING', sleeping: true });
    expect(house.placement('A', 0)).toEqual({ status: 'RUNNING', sleeping: true });
    expect(house.placement('A', 1)).toEqual({ status: 'RUNNING' });
    house.runner.letGo('sleep');
    await house.supervisor.sleepOrWake('A', 0, SLEEP);
    await house.supervisor.sleepOrWake('A', 0, WAKE);
    expect(house.placement('A', 0)).toEqual({ status: 'RUNNING' });
    expect(house.runner.calls).toEqual(['sleep A [0] 2', 'sleep A [0] 1', 'wake A [0]']);
    expect(house.history()).toEqual([]);
    expect(house.defects()).toEqual([]);
  });

  it('is refused where nothing serves, and where the backend has no such thing', async () => {
    const house = await running(0);
    const ask = (model: string, gpuId: number): Promise<string> =>
      code(house.supervisor.sleepOrWake(model, gpuId, SLEEP));
    expect(await ask('nobody', 0)).toBe('MODEL_UNKNOWN');
    expect(await ask('A', 1)).toBe('MODEL_NOT_RUNNING');
    expect(await ask('B', 0)).toBe('MODEL_NOT_RUNNING');
    house.runner.hold('start');
    await house.supervisor.start('A', 1, {});
    expect(await ask('A', 1)).toBe('PLACEMENT_NOT_RUNNING');
    house.runner.letGo('start');
    house.runner.sleepTimeoutMs = null;
    expect(await ask('A', 0)).toBe('SLEEP_NOT_SUPPORTED');
    expect(house.runner.calls.filter((call) => !call.startsWith('start'))).toEqual([]);
  });

  it('that fails says why, and leaves the placement as it is', async () => {
    const house = await running(0);
    house.runner.failNext('sleep', new SleepFailedError('no memory on the host'), new Error('defect'));
    await expect(house.supervisor.sleepOrWake('A', 0, SLEEP)).rejects.toThrow('no memory on the host');
    expect(await code(house.supervisor.sleepOrWake('A', 0, SLEEP))).toBe('SLEEP_FAILED');
    await settled();
    expect(house.placement('A', 0)).toEqual({ status: 'RUNNING' });
    expect(house.defects()).toEqual([]);
  });

  it.each([false, true])(
    'that hangs is over at its deadline (heedless: %s), and the next one has its turn',
    async (heedless) => {
      const house = await running(0);
      house.runner.ignoresSignals = heedless;
      house.runner.hold('sleep');
      const answer = code(house.supervisor.sleepOrWake('A', 0, SLEEP));
      await house.runner.nextCall('sleep');
      await pass(29_000);
      const late = code(house.supervisor.sleepOrWake('A', 0, SLEEP)); // shares it
      await pass(1001);
      expect(await answer).toBe('SLEEP_TIMEOUT');
      await pass(5000); // the grace of whoever does not heed its signal
      expect(await late).toBe('SLEEP_TIMEOUT');
      expect(house.placement('A', 0)).toEqual({ status: 'RUNNING' });
      house.runner.letGo('sleep');
      await house.supervisor.sleepOrWake('A', 0, SLEEP);
      expect(house.placement('A', 0)).toEqual({ status: 'RUNNING', sleeping: true });
      expect(house.defects()).toEqual([]);
    },
  );

  it('that waits behind a start is forgotten at its deadline', async () => {
    const house = await running(0);
    house.runner.hold('start');
    await house.supervisor.start('A', 1, {});
    const start = await house.runner.nextCall('start');
    const answer = code(house.supervisor.sleepOrWake('A', 0, SLEEP));
    await pass(30_001);
    expect(await answer).toBe('SLEEP_TIMEOUT');
    start.succeed();
    await settled();
    await house.probe();
    expect(house.runner.calls.filter((call) => call.startsWith('sleep'))).toEqual([]);
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
  });

  it('gives way to a stop, whatever its manner', async () => {
    for (const manner of [{}, { force: true }, { drainSeconds: 5 }]) {
      const house = await running(0);
      house.runner.hold('sleep');
      const asleep = code(house.supervisor.sleepOrWake('A', 0, SLEEP));
      await house.runner.nextCall('sleep');
      const queued = code(house.supervisor.sleepOrWake('A', 0, WAKE));
      const stopped = house.supervisor.stop('A', 0, manner);
      await settled();
      expect(await asleep).toBe('PLACEMENT_NOT_RUNNING');
      expect(await queued).toBe('PLACEMENT_NOT_RUNNING');
      await pass(6000);
      expect((await stopped).placement?.status).toBe('STOPPED');
      expect(house.status()).toEqual([]);
      expect(house.runner.overlapped).toBe(false);
      expect(house.defects()).toEqual([]);
    }
  });

  it('that a stop elsewhere interrupts is done after it', async () => {
    const house = await running(0, 1);
    house.runner.hold('sleep');
    const asleep = house.supervisor.sleepOrWake('A', 0, SLEEP);
    await house.runner.nextCall('sleep');
    house.runner.letGo('sleep');
    await house.supervisor.stop('A', 1);
    await asleep;
    expect(house.runner.calls).toEqual(['sleep A [0] 1', 'stop A [1] keep [0]', 'sleep A [0] 1']);
    expect(house.placement('A', 0)).toEqual({ status: 'RUNNING', sleeping: true });
    expect(house.runner.overlapped).toBe(false);
  });

  it('is no more when the server is lost: it comes back awake', async () => {
    const house = await running(0);
    await house.supervisor.sleepOrWake('A', 0, SLEEP);
    house.runner.crash('A');
    await settled();
    await house.probe();
    expect(house.placement('A', 0)).toEqual({ status: 'RUNNING' });
    expect(house.history()).toEqual(['0 RUNNING→STARTING', '0 STARTING→RUNNING']);
  });

  it('is what the backend says, not what was asked: of a silent answer, the last one counts', async () => {
    const house = await running(0);
    await house.supervisor.sleepOrWake('A', 0, SLEEP);
    house.runner.hidesSleep = true;
    await house.probe();
    expect(house.placement('A', 0)).toEqual({ status: 'RUNNING', sleeping: true });
    house.runner.hidesSleep = false;
    house.runner.asleep.clear(); // somebody else has woken it
    await house.probe();
    expect(house.placement('A', 0)).toEqual({ status: 'RUNNING' });
  });

  it('is found again by the next run of the service', async () => {
    const before = await running(0, 1);
    await before.supervisor.sleepOrWake('A', 1, SLEEP);
    await before.supervisor.beforeApplicationShutdown();
    const { runner } = before;
    const house = await House.withMemory({ runner, state: [...before.store.saved.values()] }).boot();
    await settled();
    expect(house.placement('A', 0)).toEqual({ status: 'RUNNING' });
    expect(house.placement('A', 1)).toEqual({ status: 'RUNNING', sleeping: true });
  });

  it('is answered when the service ends meanwhile', async () => {
    const house = await running(0);
    house.runner.hold('sleep');
    const answer = code(house.supervisor.sleepOrWake('A', 0, SLEEP));
    await house.runner.nextCall('sleep');
    await house.supervisor.beforeApplicationShutdown();
    expect(await answer).toBe('SHUTTING_DOWN');
  });

  it('keeps its room on the GPU', async () => {
    const house = await running(0);
    await house.supervisor.sleepOrWake('A', 0, SLEEP);
    expect(house.supervisor.occupants()).toMatchObject([
      { modelName: 'A', state: 'running', sleeping: true },
    ]);
    await house.supervisor.sleepOrWake('A', 0, WAKE);
    expect(house.supervisor.occupants()[0]).not.toHaveProperty('sleeping');
  });

  it('leaves a start of what sleeps as it is', async () => {
    const house = await running(0);
    await house.supervisor.sleepOrWake('A', 0, SLEEP);
    const view = await house.supervisor.start('A', 0, {});
    expect(view.placement).toMatchObject({ status: 'RUNNING', sleeping: true });
    expect(house.runner.calls).toEqual(['sleep A [0] 1']);
  });

  it('does not give memory back while a server measures what is free', async () => {
    const house = await runningOn(measuring(), 0);
    house.runner.hold('start');
    await house.supervisor.start('B', 0, {});
    const start = await house.runner.nextCall('start');
    const asleep = house.supervisor.sleepOrWake('A', 0, SLEEP);
    await settled();
    expect(house.placement('A', 0)?.progress).toBe('waiting: B is starting on GPU 0');
    expect(house.runner.calls).not.toContain('sleep A [0] 1');
    start.succeed();
    await settled();
    await asleep;
    expect(house.placement('A', 0)).toEqual({ status: 'RUNNING', sleeping: true });
  });

  it('holds up the start of a server that would measure, and says so', async () => {
    const house = await runningOn(measuring(), 0);
    house.runner.hold('sleep');
    const asleep = house.supervisor.sleepOrWake('A', 0, SLEEP);
    const call = await house.runner.nextCall('sleep');
    await house.supervisor.start('B', 0, {});
    await settled();
    expect(house.placement('B', 0)?.progress).toBe('waiting: A is falling asleep on GPU 0');
    call.succeed();
    await asleep;
    await settled();
    expect(house.status()).toEqual(['A 0 RUNNING', 'B 0 RUNNING']);
  });
});

describe('sleeps, wakes and stops at once', () => {
  it('are all answered, the same ones share a turn, and none runs beside another', async () => {
    const house = await running(0, 1);
    const answers = Array.from({ length: 200 }, (_, index) =>
      code(
        house.supervisor.sleepOrWake('A', index % 2, [SLEEP, SLEEP, WAKE, DEEP][(index >> 1) % 4] ?? WAKE),
      ),
    );
    const stopped = code(house.supervisor.stop('A', 1));
    await pass(1000);
    const seen = await Promise.all(answers);
    expect(await stopped).toBe('ok');
    expect(seen.filter((_, index) => index % 2 === 0)).toEqual(Array(100).fill('ok'));
    expect(new Set(seen)).toEqual(new Set(['ok', 'PLACEMENT_NOT_RUNNING']));
    expect(house.placement('A', 0)).toEqual({ status: 'RUNNING', sleeping: true });
    expect(house.status()).toEqual(['A 0 RUNNING']);
    expect(house.runner.overlapped).toBe(false);
    expect(house.defects()).toEqual([]);
  });

  it('of one kind are one call of the backend', async () => {
    const house = await running(0);
    house.runner.hold('sleep');
    const answers = Array.from({ length: 200 }, () => house.supervisor.sleepOrWake('A', 0, SLEEP));
    await settled();
    house.runner.letGo('sleep');
    await Promise.all(answers);
    expect(house.runner.calls).toEqual(['sleep A [0] 1']);
  });
});
