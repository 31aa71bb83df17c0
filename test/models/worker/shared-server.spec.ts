import { jest } from '@jest/globals';
import { pause } from '../../../src/common/pause.js';
import { ServerLostError } from '../../../src/runners/errors.js';
import type { Deployment } from '../../../src/runners/deployment.js';
import type { RunnerContext } from '../../../src/runners/runner-context.js';
import { FakeRunner } from '../../fakes/fake-runner.js';
import { House } from '../../fakes/house.js';
import { pass, settled, useFakeTime } from '../../fakes/timers.js';

/** One server for all models; the load of a crasher ends it, with all other loads in flight. */
class SharedServer extends FakeRunner {
  override isShared = true;
  readonly crashers = new Set<string>();
  /** Time, ms, of a load. */
  readonly loadMs = new Map<string, number>();
  private readonly deaths = new Set<(error: Error) => void>();

  override async start({ modelName, gpuIds }: Deployment, { signal }: RunnerContext): Promise<void> {
    this.calls.push(`start ${modelName}`);
    let die: (error: Error) => void = () => undefined;
    const death = new Promise<never>((_resolve, reject) => {
      die = reject;
    });
    this.deaths.add(die);
    try {
      await Promise.race([pause(this.loadMs.get(modelName) ?? 500, signal), death]);
    } finally {
      this.deaths.delete(die);
    }
    if (this.crashers.has(modelName)) {
      this.end();
      throw new ServerLostError(`the server ended, of ${modelName}`);
    }
    this.world.set(modelName, new Set(gpuIds));
  }

  /** The server ends, whatever it serves or loads. */
  end(): void {
    for (const die of this.deaths) die(new ServerLostError('the server ended'));
    this.crash(...this.models);
  }
}

let runner: SharedServer;
let house: House;

beforeEach(async () => {
  useFakeTime();
  runner = new SharedServer(['A', 'B', 'C', 'D']);
  house = await House.withMemory({ runner }).boot();
});
afterEach(() => {
  expect(house.defects()).toEqual([]);
  jest.useRealTimers();
});

const statusOf = (model: string, gpuId: number): string | undefined => house.placement(model, gpuId)?.status;

/** `seconds` with probes of a health poller. */
async function watch(seconds: number, everySeconds = 2): Promise<void> {
  for (let second = 0; second < seconds; second += everySeconds) {
    await pass(everySeconds * 1000);
    await house.probe();
  }
}

async function serving(...models: string[]): Promise<void> {
  for (const [gpuId, model] of models.entries()) {
    await house.supervisor.start(model, gpuId, {});
    await pass(1000);
  }
  await house.probe();
  expect(house.status()).toEqual(models.map((model, gpuId) => `${model} ${gpuId} RUNNING`));
  runner.calls.length = 0;
}

describe('a model that ends the server it shares at every load', () => {
  beforeEach(() => {
    runner.crashers.add('B');
  });

  it('is in ERROR after its tries; what served beside it comes back, and stays', async () => {
    await serving('A');
    await house.supervisor.start('B', 1, {});
    await watch(60);
    expect(house.status()).toEqual(['A 0 RUNNING', 'B 1 ERROR']);
    expect(house.placement('B', 1)?.error).toContain('the server ended, of B');
    const tries = house.config.restart.max_attempts + 1;
    expect(runner.calls.filter((call) => call === 'start B')).toHaveLength(tries);
    house.transitions.length = 0;
    await watch(3600, 60);
    expect(house.transitions).toEqual([]);
    expect(statusOf('A', 0)).toBe('RUNNING');
  });

  it('takes no tries away from what served beside it', async () => {
    await serving('A');
    await house.supervisor.start('B', 1, {});
    await watch(60);
    runner.calls.length = 0;
    for (let death = 0; death < house.config.restart.max_attempts; death += 1) {
      expect(statusOf('A', 0)).toBe('RUNNING');
      runner.end();
      await watch(16, 8);
    }
    expect(statusOf('A', 0)).toBe('RUNNING');
  });

  it('as another does, too: both are in ERROR, and a third comes back and stays', async () => {
    runner.crashers.add('C');
    await serving('A');
    await Promise.all([house.supervisor.start('B', 1, {}), house.supervisor.start('C', 2, {})]);
    await watch(120);
    expect(house.status()).toEqual(['A 0 RUNNING', 'B 1 ERROR', 'C 2 ERROR']);
    house.transitions.length = 0;
    await watch(600, 60);
    expect(house.transitions).toEqual([]);
  });

  it('does not take down one that still starts beside it, for the first time', async () => {
    runner.loadMs.set('A', 700); // whatever B does, it does before A is through
    await Promise.all([house.supervisor.start('A', 0, {}), house.supervisor.start('B', 1, {})]);
    await watch(120);
    expect(house.status()).toEqual(['A 0 RUNNING', 'B 1 ERROR']);
  });

  it('does not take down any of two that still start beside it', async () => {
    runner.loadMs.set('A', 900);
    runner.loadMs.set('D', 700);
    const starts = [['A', 0] as const, ['B', 1] as const, ['D', 3] as const];
    await Promise.all(starts.map(([model, gpuId]) => house.supervisor.start(model, gpuId, {})));
    await watch(120);
    expect(house.status()).toEqual(['A 0 RUNNING', 'B 1 ERROR', 'D 3 RUNNING']);
  });

  it('holds up no first load of another', async () => {
    await serving('A');
    await house.supervisor.start('B', 1, {});
    await pass(600);
    await house.supervisor.start('D', 3, {});
    await settled();
    expect(runner.calls).toContain('start D');
  });
});

describe('a server that ends with no load in flight', () => {
  it('is charged to all that it served', async () => {
    await serving('A', 'D');
    for (let death = 0; death <= house.config.restart.max_attempts; death += 1) {
      expect([statusOf('A', 0), statusOf('D', 1)]).toEqual(['RUNNING', 'RUNNING']);
      runner.end();
      await watch(16, 8);
    }
    expect(house.status()).toEqual(['A 0 ERROR', 'D 1 ERROR']);
  });

  it('is charged to nobody after a stable time', async () => {
    await serving('A', 'D');
    for (let death = 0; death < 10; death += 1) {
      await watch(house.config.restart.stable_after_seconds, 20);
      runner.end();
      await watch(16, 8);
      expect(house.status()).toEqual(['A 0 RUNNING', 'D 1 RUNNING']);
    }
  });
});

describe('loads into a server that has ended', () => {
  const starts = (): string[] => runner.calls.filter((call) => call.startsWith('start'));

  /** A, C and D were loading when the server ended, and are about to load anew. */
  async function endWhileAllLoad(): Promise<void> {
    await Promise.all(['A', 'C', 'D'].map((model, gpuId) => house.supervisor.start(model, gpuId, {})));
    await pass(100);
    expect(starts()).toHaveLength(3);
    runner.end();
    runner.calls.length = 0;
    await pass(house.config.restart.initial_delay_ms);
  }

  it('are made alone where it ended with these in flight: the next one waits, and says for which until it loads', async () => {
    await endWhileAllLoad();
    expect(starts()).toEqual(['start A']);
    expect(house.placement('C', 1)).toEqual({
      status: 'STARTING',
      progress: 'waiting: A is loading on server',
    });
    await pass(500);
    expect(starts()).toEqual(['start A', 'start C']);
    expect(house.placement('C', 1)).toEqual({ status: 'STARTING' });
    await pass(1000);
    expect(house.status()).toEqual(['A 0 RUNNING', 'C 1 RUNNING', 'D 2 RUNNING']);
  });

  it('are made side by side where it ended with none in flight', async () => {
    await serving('A', 'C', 'D');
    runner.end();
    await pass(0);
    expect(starts()).toEqual(['start A', 'start C', 'start D']);
    await pass(500);
    expect(house.status()).toEqual(['A 0 RUNNING', 'C 1 RUNNING', 'D 2 RUNNING']);
  });

  it('are not waited for by one that is stopped, and the next one loads', async () => {
    await endWhileAllLoad();
    const stopped = await house.supervisor.stop('C', 1);
    expect(stopped.placement?.status).toBe('STOPPED');
    expect(starts()).toEqual(['start A']);
    await pass(500);
    expect(starts()).toEqual(['start A', 'start D']);
    await pass(500);
    expect(house.status()).toEqual(['A 0 RUNNING', 'D 2 RUNNING']);
  });

  it('give up their turn when they are stopped, and the next one loads', async () => {
    await endWhileAllLoad();
    await house.supervisor.stop('A', 0);
    await pass(0);
    expect(starts()).toEqual(['start A', 'start C']);
    await pass(1000);
    expect(house.status()).toEqual(['C 1 RUNNING', 'D 2 RUNNING']);
  });
});
