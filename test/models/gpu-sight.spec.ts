import { StopFailedError } from '../../src/launchers/launcher.js';
import type { Deployment } from '../../src/runners/deployment.js';
import type { GpuSight } from '../../src/launchers/launcher.js';
import type { EndedPart, Trouble } from '../../src/runners/progress.js';
import { FakeRunner } from '../fakes/fake-runner.js';
import { pass } from '../fakes/timers.js';
import { house, moveHouse, useHouse } from './house-rig.js';

const LOST = { lost: 'Failed to initialize NVML: Unknown Error' };
const WORDS = 'its server reaches its GPUs no more: Failed to initialize NVML: Unknown Error';

useHouse();

beforeEach(async () => {
  house.runner.sight = 'there';
  await house.running('A', 0, 1);
});

/** Time passes with a probe every second; `each` second something happens before. */
async function seconds(count: number, each: () => void = () => undefined): Promise<void> {
  for (let at = 0; at < count; at += 1) {
    each();
    await pass(1000);
    await house.probe();
  }
}

const degraded = (): string | undefined => house.placement('A', 0)?.degraded;

describe('a server that reaches its GPUs no more', () => {
  it('is asked once a minute, believed when it says so twice, and started anew at once', async () => {
    await seconds(300);
    expect(house.runner.sightCalls).toBeGreaterThanOrEqual(5);
    expect(house.runner.sightCalls).toBeLessThanOrEqual(6);
    house.runner.sight = LOST;
    await seconds(70, () => {
      if (house.runner.calls.length > 0) house.runner.sight = 'there';
    });
    expect(house.runner.calls).toEqual(['force A [0,1]', 'start A [0,1]']);
    expect(house.transitions[0]?.reason).toBe(`${WORDS}: it is started anew`);
    expect(house.lines.find(({ event }) => event === 'degraded')).toMatchObject({
      level: 40,
      reason: WORDS,
    });
    await seconds(200);
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
    expect(degraded()).toBeUndefined();
    expect(house.runner.calls).toHaveLength(2);
  });

  it('once is none; nor is what nobody can tell, or an Engine that is away', async () => {
    house.runner.sight = LOST;
    await seconds(300, () => {
      if (house.runner.sightCalls % 2 === 1) house.runner.sight = 'there';
      else house.runner.sight = LOST;
    });
    house.runner.sight = 'unknown';
    await seconds(300);
    house.runner.sight = new Error('the Engine is away');
    await seconds(300);
    expect(degraded()).toBeUndefined();
    expect(house.runner.calls).toEqual([]);
  });

  it('for good is started anew a few times, and then left degraded; a new start of it is tried anew', async () => {
    await moveHouse({ restart: { max_attempts: 3, stable_after_seconds: 1 } });
    house.runner.sight = LOST;
    await house.running('A', 0);
    await seconds(1200);
    expect(house.runner.calls.filter((call) => call.startsWith('force'))).toHaveLength(3);
    expect(house.status()).toEqual(['A 0 RUNNING']);
    expect(degraded()).toBe(`${WORDS}; started anew 3 times in vain, and left as it is`);
    house.runner.sight = 'there';
    await seconds(130);
    expect(degraded()).toBeUndefined();
    house.runner.sight = LOST;
    await seconds(130);
    expect(house.runner.calls.filter((call) => call.startsWith('force')).length).toBeGreaterThan(3);
  });

  it('that cannot be ended is tried again after a while, and counts as a try', async () => {
    house.runner.sight = LOST;
    house.runner.failNext('force', new StopFailedError('it hangs'));
    await seconds(25);
    expect(house.runner.calls).toEqual(['force A [0,1]']);
    expect(degraded()).toBe(WORDS);
    await seconds(30);
    expect(house.runner.calls).toEqual(['force A [0,1]', 'force A [0,1]', 'start A [0,1]']);
  });

  it('is not ended while it is being stopped, and is asked nothing while it starts', async () => {
    house.runner.sight = LOST;
    await house.supervisor.stop('A', 0);
    await house.supervisor.stop('A', 1);
    const { sightCalls } = house.runner;
    await seconds(200);
    expect(house.runner.sightCalls).toBe(sightCalls);
    expect(house.runner.calls).not.toContain('force A [0,1]');
  });
});

/** Models on one server: its end takes both away, and one that was replaced meanwhile is left alone. */
class SharedServer extends FakeRunner {
  override readonly isShared = true;
  private runs = 1;

  override gpuSight(): Promise<GpuSight> {
    this.sightCalls += 1;
    return Promise.resolve({ ...LOST, run: `run ${this.runs}` });
  }

  override endStuck(deployment: Deployment, { run }: Trouble): Promise<EndedPart> {
    const isOver = run !== `run ${this.runs}`;
    this.calls.push(`end ${deployment.modelName}${isOver ? ' in vain' : ''}`);
    if (isOver) return Promise.resolve('nothing');
    this.runs += 1;
    this.crash('A', 'B');
    return Promise.resolve('server');
  }
}

describe('a server of several models that reaches its GPUs no more for good', () => {
  beforeEach(async () => {
    await moveHouse({
      runner: new SharedServer(['A', 'B']),
      restart: { max_attempts: 2, stable_after_seconds: 600 },
    });
    await house.running('A', 0);
    await house.running('B', 1);
  });

  it('is left degraded by all of them after their tries, none of which is charged to another', async () => {
    await seconds(1200);
    expect(house.status().toSorted()).toEqual(['A 0 RUNNING', 'B 1 RUNNING']);
    for (const [model, gpuId] of [
      ['A', 0],
      ['B', 1],
    ] as const) {
      expect(house.placement(model, gpuId)?.degraded).toMatch(
        /started anew 2 times in vain, and left as it is/,
      );
    }
    expect(house.runner.calls.filter((call) => /^end .$/.test(call))).toHaveLength(2);
  });

  it('is a crash of the one whose server was ended, and the others say for whom', async () => {
    await seconds(70);
    const lost = house.transitions.filter(({ event }) => event === 'lost');
    expect(lost.map(({ reason }) => reason)).toContain(
      `its server was ended, and is started anew, for A: ${WORDS}`,
    );
    const placements = house.supervisor.deployments().flatMap((state) => state.active());
    const crashes = placements.map(({ history }) => history.lastCrash?.message);
    expect(crashes).toEqual([`${WORDS}: it is started anew`, undefined]);
  });
});
