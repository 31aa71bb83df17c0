import { jest } from '@jest/globals';
import type { Deployment } from '../../../src/runners/deployment.js';
import { FakeRunner } from '../../fakes/fake-runner.js';
import { House } from '../../fakes/house.js';
import { pass, settled, useFakeTime } from '../../fakes/timers.js';

/** One server for each GPU of a model, each of which freezes, dies and answers by itself. */
class ServerPerGpu extends FakeRunner {
  override measures = true;
  /** GPUs whose look does not end. */
  readonly deaf = new Set<number>();
  /** Times, ms, at which the server on a GPU was ended because it did not answer. */
  readonly recycled: { readonly gpuIds: readonly number[]; readonly atMs: number }[] = [];

  override async getStatus(deployment: Deployment): ReturnType<FakeRunner['getStatus']> {
    if (deployment.gpuIds.some((gpuId) => this.deaf.has(gpuId))) await new Promise(() => undefined);
    return super.getStatus(deployment);
  }

  override recycle({ modelName, gpuIds }: Deployment): Promise<boolean> {
    this.recycled.push({ gpuIds, atMs: Date.now() });
    for (const gpuId of gpuIds) {
      this.phases.delete(gpuId);
      this.world.get(modelName)?.delete(gpuId);
    }
    return Promise.resolve(true);
  }

  /** Its process is gone, and the launcher has seen it. */
  kill(modelName: string, gpuId: number): void {
    this.world.get(modelName)?.delete(gpuId);
    this.notify();
  }
}

let runner: ServerPerGpu;
let house: House;
let limitMs: number;

beforeEach(async () => {
  useFakeTime();
  runner = new ServerPerGpu(['A', 'B']);
  house = await House.withMemory({ runner }).boot();
  limitMs = house.config.liveness.deadline_seconds * 1000;
});
afterEach(() => {
  expect(house.defects()).toEqual([]);
  expect([runner.overlapped, runner.measuredTogether]).toEqual([false, false]);
  jest.useRealTimers();
});

describe('a server that is killed is launched anew at once', () => {
  const expectRelaunched = async (): Promise<void> => {
    runner.calls.length = 0;
    runner.kill('A', 0);
    await settled();
    expect(runner.calls).toEqual(['start A [0]']);
  };

  it('while another GPU of the model starts', async () => {
    await house.running('A', 0);
    runner.hold('start');
    await house.supervisor.start('A', 1, {});
    await settled();
    await expectRelaunched();
  });

  it('while another GPU of the model waits for its turn', async () => {
    await house.running('A', 0);
    runner.hold('start');
    await house.supervisor.start('B', 1, {});
    await settled();
    await house.supervisor.start('A', 1, {});
    await settled();
    expect(house.placement('A', 1)?.progress).toBe('waiting: B is starting on GPU 1');
    await expectRelaunched();
  });

  it('while another GPU of the model is stopped', async () => {
    await house.running('A', 0, 1);
    runner.hold('stop');
    house.supervisor.stop('A', 1).catch(() => undefined);
    await runner.nextCall('stop');
    await expectRelaunched();
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
    await pass(60_000); // the stop is late
  });

  it('while another GPU of the model drains', async () => {
    await house.running('A', 0, 1);
    runner.work = { open: 3, finished: 7 };
    house.supervisor.stop('A', 1, { drainSeconds: 60 }).catch(() => undefined);
    await settled();
    await expectRelaunched();
    await house.supervisor.beforeApplicationShutdown();
  });

  it('while another GPU of the model falls asleep', async () => {
    await house.running('A', 0, 1);
    runner.hold('sleep');
    house.supervisor.sleepOrWake('A', 1, { kind: 'sleep', level: 1 }).catch(() => undefined);
    await runner.nextCall('sleep');
    await expectRelaunched();
    await pass(60_000);
  });

  it('while another GPU of the model is looked at, and does not answer', async () => {
    await house.running('A', 0, 1);
    runner.deaf.add(1);
    await house.probe();
    await expectRelaunched();
    await pass(0);
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
  });

  it('while another GPU of the model waits out the delay after its own deaths', async () => {
    await house.running('A', 0, 1);
    for (let death = 0; death < 2; death += 1) {
      runner.kill('A', 1);
      await settled();
    }
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 STARTING']);
    await expectRelaunched();
  });
});

describe('a start and a stop of one GPU', () => {
  it('are done while every other GPU of the model hangs', async () => {
    await house.running('A', 1, 2);
    runner.hold('stop');
    house.supervisor.stop('A', 1).catch(() => undefined);
    await runner.nextCall('stop');
    runner.deaf.add(2);
    await house.probe();
    runner.letGo('stop');
    const started = await house.supervisor.start('A', 0, {});
    await settled();
    expect(started.placement?.status).toBe('RUNNING');
    const stopped = await house.supervisor.stop('A', 0);
    expect(stopped.placement?.status).toBe('STOPPED');
    await pass(60_000);
  });
});

describe('the silence of servers of one model', () => {
  beforeEach(() => house.running('A', 0, 1));

  const recycled = (): unknown[] => runner.recycled.map(({ gpuIds }) => gpuIds);

  it('is measured for each by itself', async () => {
    const beganMs = Date.now();
    runner.phases.set(0, 'silent');
    await house.probe();
    await pass(limitMs - 5000);
    runner.phases.set(1, 'silent');
    await house.probe();
    await pass(4999);
    expect(recycled()).toEqual([]);
    await pass(1);
    expect(recycled()).toEqual([[0]]);
    await house.probe();
    await pass(limitMs - 5001);
    expect(recycled()).toEqual([[0]]);
    await pass(1);
    expect(runner.recycled).toEqual([
      { gpuIds: [0], atMs: beganMs + limitMs },
      { gpuIds: [1], atMs: beganMs + limitMs - 5000 + limitMs },
    ]);
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
  });

  it('of one that answers again is over, whatever another does', async () => {
    runner.phases.set(0, 'silent');
    runner.phases.set(1, 'silent');
    await house.probe();
    await pass(limitMs - 1000);
    runner.phases.delete(0);
    await house.probe();
    await pass(1000);
    expect(recycled()).toEqual([[1]]);
    runner.phases.set(0, 'silent');
    await house.probe();
    await pass(limitMs - 1);
    expect(recycled()).toEqual([[1]]);
    await pass(1);
    expect(recycled()).toEqual([[1], [0]]);
  });

  it('of one that is killed while it is silent is launched anew, and another is left alone', async () => {
    runner.phases.set(0, 'silent');
    await house.probe();
    await pass(limitMs - 1000);
    runner.phases.set(1, 'silent');
    runner.phases.delete(0);
    runner.kill('A', 0);
    await settled();
    await pass(2000);
    expect(recycled()).toEqual([]);
    runner.phases.delete(1);
    await house.probe();
    expect(house.history()).toEqual(['0 RUNNING→STARTING', '0 STARTING→RUNNING']);
  });
});

describe('a start on GPUs that another server of the model still gives back', () => {
  beforeEach(async () => {
    runner.span = 2;
    await house.running('A', 0); // on GPU 0 and 1
    runner.hold('stop');
  });

  it('waits for these, and then begins at once, without a look of the health poller', async () => {
    const stopped = house.supervisor.stop('A', 0);
    const call = await runner.nextCall('stop');
    await house.supervisor.start('A', 1, {}); // on GPU 1 and 2
    await pass(10_000);
    await house.probe();
    expect(runner.calls).toEqual(['stop A [0]']);
    expect(house.placement('A', 2)?.status).toBe('STARTING');
    call.succeed();
    await settled();
    expect((await stopped).placement?.status).toBe('STOPPED');
    expect(runner.calls).toEqual(['stop A [0]', 'start A [1]']);
    expect(house.status()).toEqual(['A 1 RUNNING', 'A 2 RUNNING']);
  });

  it('waits for the proof of their memory, too', async () => {
    const pid = runner.pidOn(0);
    house.gpus.processes.set(1, [{ pid, name: 'server', memoryMiB: 8192 }]);
    house.supervisor.stop('A', 0).catch(() => undefined);
    const call = await runner.nextCall('stop');
    await house.supervisor.start('A', 1, {});
    call.succeed();
    await pass(1000);
    expect(runner.calls).toEqual(['stop A [0]']);
    house.gpus.processes.delete(1);
    await pass(500);
    expect(runner.calls).toEqual(['stop A [0]', 'start A [1]']);
    expect(house.status()).toEqual(['A 1 RUNNING', 'A 2 RUNNING']);
  });

  it('begins at once where it shares no GPU with it', async () => {
    house.supervisor.stop('A', 0).catch(() => undefined);
    const call = await runner.nextCall('stop');
    await house.supervisor.start('A', 2, {});
    await settled();
    expect(runner.calls).toEqual(['stop A [0]', 'start A [2]']);
    call.succeed();
    await settled();
  });

  it('is stopped while it waits, and the stop before it goes on', async () => {
    const first = house.supervisor.stop('A', 0);
    const call = await runner.nextCall('stop');
    await house.supervisor.start('A', 1, {});
    await settled();
    runner.letGo('stop');
    const second = await house.supervisor.stop('A', 2);
    expect(second.placement?.status).toBe('STOPPED');
    expect(runner.servedOn('A')).toEqual([0]);
    call.succeed();
    await settled();
    expect((await first).placement?.status).toBe('STOPPED');
    expect([house.status(), runner.servedOn('A')]).toEqual([[], []]);
  });
});
