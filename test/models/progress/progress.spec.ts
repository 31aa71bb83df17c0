import { StopFailedError } from '../../../src/launchers/launcher.js';
import type { CanaryAnswer, ProgressReading } from '../../../src/runners/progress.js';
import { pass, settled } from '../../fakes/timers.js';
import { house, moveHouse, useHouse } from '../house-rig.js';

const LIMIT_MS = 300_000;
const STAYS_MS = 30_000;

let counts: ProgressReading;

useHouse();

beforeEach(async () => {
  counts = { open: 0, done: 0, succeeded: 0, failed: 0 };
  house.runner.counted = counts;
  await house.running('A', 0, 1);
});

function count(change: Partial<ProgressReading>): void {
  counts = { ...counts, ...change };
  house.runner.counted = counts;
}

/** Time passes with a probe every second; `each` second something happens before. */
async function seconds(ms: number, each: () => void = () => undefined): Promise<void> {
  for (let at = 0; at < ms; at += 1000) {
    each();
    await pass(1000);
    await house.probe();
  }
}

const oneFails = (): void => {
  count({ failed: counts.failed + 1, done: Number(counts.done) + 1 });
};

const degraded = (): string | undefined => house.placement('A', 0)?.degraded;

const linesAt = (event: string): unknown[] => house.lines.filter((line) => line.event === event);

describe('a model whose requests all fail in its backend', () => {
  it('is degraded after its time, with the reason, stays RUNNING, and says so in the log once', async () => {
    await seconds(LIMIT_MS - 1000, oneFails);
    expect(degraded()).toBeUndefined();
    await seconds(20_000, oneFails);
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
    expect(degraded()).toMatch(/^no request has succeeded for 3\d\d s, and \d+ have failed in the backend$/);
    expect(house.placement('A', 1)?.degraded).toBe(degraded());
    expect(linesAt('degraded')).toHaveLength(1);
    expect(linesAt('degraded')[0]).toMatchObject({ level: 40, model_name: 'A' });
    expect(house.runner.calls).toEqual([]);
  });

  it('is ended and started anew where that stays, for all its GPUs at once', async () => {
    await seconds(LIMIT_MS + STAYS_MS + 20_000, oneFails);
    expect(house.runner.calls).toEqual(['force A [0,1]', 'start A [0,1]']);
    expect(house.history()).toEqual([
      '0 RUNNING→STARTING',
      '1 RUNNING→STARTING',
      '0 STARTING→RUNNING',
      '1 STARTING→RUNNING',
    ]);
    expect(house.transitions[0]?.reason).toMatch(/^no request has succeeded for .* it is started anew$/);
    expect(degraded()).toBeUndefined();
    expect(linesAt('healing')).toHaveLength(1);
  });

  it('is left alone where nobody asks it again: nobody knows whether it still fails', async () => {
    await seconds(10_000, oneFails);
    await seconds(LIMIT_MS * 3);
    expect(degraded()).toMatch(/^no request has succeeded/);
    expect(house.runner.calls).toEqual([]);
  });

  it('is not degraded any more with the first that succeeds', async () => {
    await seconds(LIMIT_MS + 15_000, oneFails);
    count({ succeeded: 1, done: Number(counts.done) + 1 });
    await seconds(10_000);
    expect(degraded()).toBeUndefined();
    expect(linesAt('degraded')).toHaveLength(2);
    await seconds(STAYS_MS);
    expect(house.runner.calls).toEqual([]);
  });

  it('is started anew just as often as the tries allow, and stays degraded then, until one succeeds', async () => {
    await moveHouse({ restart: { max_attempts: 2 } });
    house.runner.counted = counts;
    await house.running('A', 0);
    await seconds((LIMIT_MS + STAYS_MS) * 6, oneFails);
    const again = ['force A [0]', 'start A [0]'];
    expect(house.runner.calls).toEqual([...again, ...again]);
    expect(house.placement('A', 0)).toMatchObject({ status: 'RUNNING' });
    expect(degraded()).toMatch(/started anew 2 times in vain, and left as it is$/);
    count({ succeeded: 1, done: Number(counts.done) + 1 });
    await seconds(10_000);
    expect(degraded()).toBeUndefined();
    await seconds(LIMIT_MS + STAYS_MS + 20_000, oneFails);
    expect(house.runner.calls).toHaveLength(6);
  });

  it('and whose server cannot be ended is tried again when it has stayed so', async () => {
    house.runner.failNext('force', new StopFailedError('stuck in the driver'));
    await seconds(LIMIT_MS + STAYS_MS + 20_000, oneFails);
    expect(house.runner.calls).toEqual(['force A [0,1]']);
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
    await seconds(STAYS_MS + 10_000, oneFails);
    expect(house.runner.calls).toEqual(['force A [0,1]', 'force A [0,1]', 'start A [0,1]']);
  });
});

describe('a model on a server that others share', () => {
  it('begins anew with another run of the server: what was seen of the one before says nothing', async () => {
    count({ run: 'c1' });
    await seconds(LIMIT_MS - 10_000, oneFails);
    count({ run: 'c2' });
    await seconds(LIMIT_MS - 10_000, oneFails);
    expect(degraded()).toBeUndefined();
    expect(linesAt('degraded')).toEqual([]);
  });

  it('is healed by the run that it was seen on; where that is over, nothing is ended, and no try is spent', async () => {
    const asked: (string | undefined)[] = [];
    house.runner.endStuck = (_deployment, { run }) => {
      asked.push(run);
      return Promise.resolve('nothing');
    };
    count({ run: 'c1' });
    await seconds(LIMIT_MS + STAYS_MS + 20_000, oneFails);
    expect(asked).toEqual(['c1']);
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
    expect(house.runner.calls).toEqual([]);
    expect(house.history()).toEqual([]);
    expect(degraded()).toBeUndefined();
    await seconds(LIMIT_MS + 20_000, oneFails);
    expect(degraded()).toMatch(/^no request has succeeded for .* failed in the backend$/);
  });
});

describe('a model with requests that wait', () => {
  it('while nothing is done is degraded, and healed where that stays', async () => {
    count({ open: 2 });
    await seconds(LIMIT_MS + 10_000);
    expect(degraded()).toMatch(/^nothing was done for 3\d\d s, and 2 requests wait$/);
    await seconds(STAYS_MS + 10_000);
    expect(house.runner.calls).toEqual(['force A [0,1]', 'start A [0,1]']);
  });

  it('and works on them, however long they are, is left alone', async () => {
    count({ open: 2 });
    await seconds(LIMIT_MS * 3, () => {
      count({ done: Number(counts.done) + 1 });
    });
    expect(degraded()).toBeUndefined();
    expect(house.runner.calls).toEqual([]);
  });

  it('has the longest time that one request may take, where the model says that', async () => {
    house.runner.liveness = { deadlineSeconds: 900 };
    count({ open: 2 });
    await seconds(899_000);
    expect(degraded()).toBeUndefined();
    await seconds(STAYS_MS + 21_000);
    expect(house.runner.calls).toEqual(['force A [0,1]', 'start A [0,1]']);
  });

  it('of a backend whose requests may take any time is only told, unless the model says how long they may take', async () => {
    house.runner.liveness = { isPatient: true };
    count({ open: 2 });
    await seconds(LIMIT_MS * 2);
    expect(degraded()).toMatch(/^nothing was done/);
    expect(house.runner.calls).toEqual([]);
  });

  it('is not looked at where its time is 0', async () => {
    house.runner.liveness = { progressSeconds: 0 };
    const before = house.runner.progressCalls;
    count({ open: 2 });
    await seconds(LIMIT_MS * 2);
    expect(degraded()).toBeUndefined();
    expect(house.runner.progressCalls).toBe(before);
  });
});

describe('the looks', () => {
  it('are few, and no more while one is under way', async () => {
    const before = house.runner.progressCalls;
    await seconds(60_000);
    expect(house.runner.progressCalls - before).toBeLessThanOrEqual(7);
    house.runner.counted = 'hangs';
    await seconds(60_000);
    expect(house.runner.progressCalls - before).toBeLessThanOrEqual(14);
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
  });

  it('conclude nothing where the backend does not count, or cannot say', async () => {
    for (const counted of [null, new Error('the metrics answered 500')]) {
      house.runner.counted = counted;
      await seconds(LIMIT_MS * 2);
    }
    expect(degraded()).toBeUndefined();
    expect(house.runner.calls).toEqual([]);
  });

  it('heal nothing that is being stopped, or sleeps', async () => {
    count({ open: 2 });
    await seconds(LIMIT_MS + 10_000);
    house.runner.work = { open: 2, finished: 0 };
    const stopping = house.supervisor.stop('A', 0, { drainSeconds: 600 });
    await seconds(STAYS_MS * 2);
    expect(house.runner.calls).toEqual([]);
    await house.supervisor.stop('A', 0, { force: true });
    await stopping;
    expect(house.runner.calls).toEqual(['force A [0] keep [1]']);
    const asleep = house.supervisor.sleepOrWake('A', 1, { kind: 'sleep', level: 1 });
    await settled();
    await asleep;
    expect(house.placement('A', 1)).toEqual({ status: 'RUNNING', sleeping: true });
    await seconds(LIMIT_MS * 2);
    expect(house.runner.calls.slice(1)).toEqual(['sleep A [1] 1']);
  });
});

describe('the canary', () => {
  let canaries: { readonly signal: AbortSignal; answer: (answer: CanaryAnswer) => void }[];

  beforeEach(() => {
    canaries = [];
    house.runner.canary = (signal) =>
      new Promise((resolve) => {
        canaries.push({ signal, answer: resolve });
      });
  });

  it('is sent to whom nobody asks, rarely, and no second one while it is under way', async () => {
    await seconds(LIMIT_MS / 2 - 1000);
    expect(canaries).toHaveLength(0);
    await seconds(20_000);
    expect(canaries).toHaveLength(1);
    canaries[0]?.answer('succeeded');
    await seconds(LIMIT_MS / 2 - 30_000);
    expect(canaries).toHaveLength(1);
    await seconds(60_000);
    expect(canaries).toHaveLength(2);
  });

  it('is not sent to whom somebody asks', async () => {
    await seconds(LIMIT_MS, () => {
      count({ done: Number(counts.done) + 1, succeeded: counts.succeeded + 1 });
    });
    count({ open: 1 });
    await seconds(LIMIT_MS - 30_000);
    expect(canaries).toHaveLength(0);
  });

  it('shows what is frozen: it is degraded, and healed', async () => {
    await seconds(LIMIT_MS * 1.5 + 30_000);
    expect(degraded()).toMatch(/^nothing was done for 3\d\d s, and a request waits$/);
    await seconds(STAYS_MS + 20_000);
    expect(house.runner.calls).toEqual(['force A [0,1]', 'start A [0,1]']);
    expect(canaries[0]?.signal.aborted).toBe(true);
  });

  it('shows what fails', async () => {
    await seconds(LIMIT_MS * 2, () => {
      for (const each of canaries) each.answer('failed');
    });
    expect(linesAt('degraded')[0]).toMatchObject({
      reason: expect.stringMatching(/ 2 have failed/) as unknown,
    });
    expect(house.runner.calls).toEqual(['force A [0,1]', 'start A [0,1]']);
  });

  it('that is answered without work shows nothing', async () => {
    await seconds(LIMIT_MS * 4, () => {
      for (const each of canaries) each.answer('unclear');
    });
    expect(degraded()).toBeUndefined();
    expect(house.runner.calls).toEqual([]);
  });

  it('is broken off by a stop, a sleep and the end of the service', async () => {
    await seconds(LIMIT_MS / 2 + 20_000);
    const asleep = house.supervisor.sleepOrWake('A', 0, { kind: 'sleep', level: 1 });
    await settled();
    expect(canaries[0]?.signal.aborted).toBe(true);
    await asleep;
    await house.supervisor.sleepOrWake('A', 0, { kind: 'wake' });
    await seconds(LIMIT_MS / 2 + 20_000);
    expect(canaries).toHaveLength(2);
    await house.supervisor.stop('A', 0, {});
    expect(canaries[1]?.signal.aborted).toBe(true);
    await seconds(LIMIT_MS + 20_000);
    await house.supervisor.beforeApplicationShutdown();
    expect(canaries.at(-1)?.signal.aborted).toBe(true);
  });
});
