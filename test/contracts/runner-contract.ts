import { pollUntil } from '../../src/common/deadline.js';
import { DomainError } from '../../src/common/errors.js';
import type {
  Deployment,
  PlacementObservation,
  PlacementPhase,
  Runner,
  RunnerContext,
} from '../../src/runners/runner.js';
import { SleepNotSupportedError } from '../../src/runners/sleep.js';
import type { Needed } from '../../src/runners/unneeded.js';

/** A backend for one case of the suite. */
export interface RunnerHarness {
  /** A new instance over the same servers, as after a restart of the service. */
  create(): Runner | Promise<Runner>;
  /** A model that is ready soon. */
  readonly model: string;
  /** One whose start fails. */
  readonly failing?: string;
  /** One that is never ready. */
  readonly endless?: string;
  /** All the models share one server: what happens to one GPU happens to all. */
  readonly sharesServer: boolean;
  /** The main process of a server dies at once. */
  kill(observation: PlacementObservation): void | Promise<void>;
  /** It goes on, and answers nobody. Left out: this backend has no such thing. */
  freeze?(observation: PlacementObservation): void | Promise<void>;
  /** What runs the servers cannot be asked any more. */
  loseLauncher?(): void | Promise<void>;
  /** Ends everything that the case launched. */
  cleanUp(): Promise<void>;
}

const GPUS = [0, 1, 2, 3].map((id) => ({ id, uuid: `GPU-${id}` }));
const never = new AbortController().signal;

/** The cases every runner passes. `open` is called before each one. */
export function runnerContract(open: () => Promise<RunnerHarness>, timeoutMs: number): void {
  let harness: RunnerHarness;
  let runner: Runner;
  /** What is wanted of the backend. */
  let wanted: Deployment[];

  function deployment(...gpuIds: number[]): Deployment {
    return of(harness.model, ...gpuIds);
  }

  function of(modelName: string, ...gpuIds: number[]): Deployment {
    return { modelName, gpuIds, options: runner.defaultOptions(modelName) };
  }

  function needed(...gpuIds: number[]): Needed[] {
    return [{ modelName: harness.model, gpuIds }];
  }

  function context(signal: AbortSignal = never): RunnerContext & { patienceMs: number } {
    return { signal, gpus: GPUS, wanted: () => wanted, onProgress: () => undefined, patienceMs: 0 };
  }

  async function start(...gpuIds: number[]): Promise<PlacementObservation[]> {
    wanted = [deployment(...gpuIds)];
    await runner.start(deployment(...gpuIds), context());
    return untilPhase('ready', ...gpuIds);
  }

  async function stop(kept: number[], taken: number[]): Promise<void> {
    wanted = kept.length > 0 ? [deployment(...kept)] : [];
    await runner.stop(deployment(...kept), taken, context());
  }

  async function status(...gpuIds: number[]): Promise<PlacementObservation[]> {
    return [...(await runner.getStatus(deployment(...gpuIds), AbortSignal.timeout(2000)))];
  }

  async function phases(...gpuIds: number[]): Promise<PlacementPhase[]> {
    return (await status(...gpuIds)).map(({ phase }) => phase);
  }

  function untilPhase(phase: PlacementPhase, ...gpuIds: number[]): Promise<PlacementObservation[]> {
    return pollUntil(
      async () => {
        const observations = await status(...gpuIds);
        return observations.every((each) => each.phase === phase) ? observations : undefined;
      },
      { intervalMs: 20, signal: AbortSignal.timeout(timeoutMs / 2) },
    );
  }

  async function kill(observation: PlacementObservation | undefined): Promise<void> {
    if (!observation) throw new Error('nothing to kill');
    await harness.kill(observation);
  }

  beforeEach(async () => {
    wanted = [];
    harness = await open();
    runner = await harness.create();
  }, timeoutMs);

  afterEach(async () => {
    await harness.cleanUp();
  }, timeoutMs);

  function contractCase(title: string, run: () => Promise<void>): void {
    it(title, run, timeoutMs);
  }

  contractCase('has default options that are valid, and times', async () => {
    const options = runner.defaultOptions(harness.model);
    expect(await runner.optionsSchema.parseAsync(options)).toEqual(options);
    expect(runner.instancesPerGpu(options)).toBeGreaterThanOrEqual(1);
    expect(runner.models).toContain(harness.model);
    expect(runner.startTimeoutMs).toBeGreaterThan(0);
    expect(runner.stopTimeoutMs).toBeGreaterThan(0);
    expect(runner.gpusOf(2, options)).toContain(2);
  });

  contractCase('what was never started is absent, and stopping it is success', async () => {
    expect(await phases(0, 1)).toEqual(['absent', 'absent']);
    await stop([], [0]);
    await runner.stopByForce(deployment(), [0], context());
    expect(await runner.recycle(deployment(0), context())).toBe(false);
    expect(await runner.findUnneeded([], never)).toEqual([]);
  });

  contractCase('a preflight changes nothing', async () => {
    await runner.preflight(deployment(0, 1), context());
    expect(await phases(0, 1)).toEqual(['absent', 'absent']);
    expect(await runner.findUnneeded([], never)).toEqual([]);
    await start(0);
    await runner.preflight(deployment(0, 1), context());
    expect(await phases(0, 1)).toEqual(['ready', 'absent']);
  });

  contractCase('starts, and says where; once more changes nothing', async () => {
    const [first] = await start(0);
    expect(first?.gpuId).toBe(0);
    expect(first?.pid).toEqual(expect.any(Number));
    expect(first?.port).toEqual(expect.any(Number));
    expect(first?.serverName).toEqual(expect.any(String));
    const [again] = await start(0);
    expect(again?.pid).toBe(first?.pid);
  });

  contractCase('adds a GPU, and what serves goes on', async () => {
    const [before] = await start(0);
    const [after, added] = await start(0, 1);
    expect(after?.pid).toBe(before?.pid);
    expect(added?.gpuId).toBe(1);
    expect(added?.pid === before?.pid).toBe(harness.sharesServer);
  });

  contractCase('takes a GPU away, and what stays goes on', async () => {
    const [before] = await start(0, 1);
    await stop([0], [1]);
    const [left, gone] = await status(0, 1);
    expect(left).toMatchObject({ phase: 'ready', pid: before?.pid });
    expect(gone?.phase).toBe('absent');
  });

  contractCase('stops all, and nothing is left; once more is success', async () => {
    await start(0, 1);
    await stop([], [0, 1]);
    expect(await phases(0, 1)).toEqual(['absent', 'absent']);
    expect(await runner.findUnneeded([], never)).toEqual([]);
    await stop([], [0, 1]);
    await start(1);
    expect(await phases(0, 1)).toEqual(['absent', 'ready']);
  });

  contractCase('stops by force, and once more is success', async () => {
    await start(0);
    wanted = [];
    await runner.stopByForce(deployment(), [0], context());
    expect(await phases(0)).toEqual(['absent']);
    await runner.stopByForce(deployment(), [0], context());
    expect(await runner.findUnneeded([], never)).toEqual([]);
  });

  contractCase('a server that died is absent, with the reason, and a start brings it back', async () => {
    const changes: number[] = [];
    const end = runner.onChange(() => changes.push(1));
    const [first] = await start(0);
    await kill(first);
    const [dead] = await untilPhase('absent', 0);
    expect(dead).toMatchObject({ pid: null });
    await pollUntil(() => Promise.resolve(changes.length > 0 || undefined), {
      intervalMs: 10,
      signal: AbortSignal.timeout(5000),
    });
    const [back] = await start(0);
    expect(back?.phase).toBe('ready');
    end();
  });

  contractCase('recycles a server that does not answer, and no other', async () => {
    const [first] = await start(0);
    if (!first) throw new Error('nothing started');
    expect(await runner.recycle(deployment(0), context())).toBe(false);
    expect(await phases(0)).toEqual(['ready']);
    if (!harness.freeze) return;
    await harness.freeze(first);
    const seen = await runner.getStatus(deployment(0), AbortSignal.timeout(500));
    expect(seen.map(({ phase }) => phase)).toEqual(['silent']);
    expect(await runner.recycle(deployment(0), context())).toBe(true);
    expect(await phases(0)).toEqual(['absent']);
    await start(0);
  });

  contractCase('a frozen server is ended by force', async () => {
    const [first] = await start(0);
    if (!first || !harness.freeze) return;
    await harness.freeze(first);
    wanted = [];
    await runner.stopByForce(deployment(), [0], context());
    expect(await phases(0)).toEqual(['absent']);
  });

  contractCase('sleeps and wakes as it says, or says that it cannot', async () => {
    const [first] = await start(0, 1);
    const quiet = { signal: never, onProgress: () => undefined };
    const sleep = (level: 1 | 2): Promise<void> => runner.sleep(deployment(0, 1), 0, level, quiet);
    const wake = (): Promise<void> => runner.wake(deployment(0, 1), 0, quiet);
    const asleep = async (): Promise<boolean[]> =>
      (await untilPhase('ready', 0, 1)).map(({ sleeping }) => sleeping === true);
    if (runner.sleepTimeoutMs === null) {
      await expect(sleep(1)).rejects.toBeInstanceOf(SleepNotSupportedError);
      await expect(wake()).rejects.toBeInstanceOf(SleepNotSupportedError);
      expect(await asleep()).toEqual([false, false]);
      return;
    }
    await wake(); // is awake
    for (const level of [1, 2] as const) {
      await sleep(level);
      expect(await asleep()).toEqual([true, false]);
      await sleep(1); // stays at its level
      runner = await harness.create();
      expect(await asleep()).toEqual([true, false]);
      await wake();
      expect(await asleep()).toEqual([false, false]);
    }
    await sleep(1);
    expect(await runner.recycle(deployment(0, 1), context())).toBe(false);
    const [again] = await start(0, 1);
    expect(again).toMatchObject({ pid: first?.pid, sleeping: true });
    await stop([1], [0]);
    expect(await phases(0, 1)).toEqual(['absent', 'ready']);
  });

  contractCase('a sleep or a wake that was given up before does nothing', async () => {
    await start(0);
    const gone = { signal: AbortSignal.abort(new Error('given up')), onProgress: () => undefined };
    await expect(runner.sleep(deployment(0), 0, 1, gone)).rejects.toBeInstanceOf(Error);
    await expect(runner.wake(deployment(0), 0, gone)).rejects.toBeInstanceOf(Error);
    expect((await untilPhase('ready', 0)).map(({ sleeping }) => sleeping === true)).toEqual([false]);
  });

  contractCase('the next instance finds what runs, starts nothing twice, and stops it', async () => {
    const [first] = await start(0);
    runner = await harness.create();
    expect(await phases(0)).toEqual(['ready']);
    const [again] = await start(0);
    expect(again?.pid).toBe(first?.pid);
    expect(await runner.recycle(deployment(0), context())).toBe(false);
    await stop([], [0]);
    expect(await phases(0)).toEqual(['absent']);
    expect(await runner.findUnneeded([], never)).toEqual([]);
  });

  contractCase('tells what serves to a service that has lost its state', async () => {
    const [first] = await start(0, 1);
    runner = await harness.create();
    const { deployments, unclear } = await runner.adoptable(never);
    expect(deployments).toEqual([deployment(0, 1)]);
    expect(unclear).toBeUndefined();
    expect([null, first?.serverName]).toContain(runner.serverNameOf(harness.model, 0));
    await stop([], [0, 1]);
    expect(await runner.adoptable(never)).toEqual({ deployments: [] });
  });

  contractCase('finds what nobody needs, and removes it unless somebody does by then', async () => {
    const [first] = await start(0);
    expect(await runner.findUnneeded(needed(0), never)).toEqual([]);
    wanted = [];
    const found = await runner.findUnneeded([], never);
    expect(found).toMatchObject([{ running: true, models: [harness.model] }]);
    if (harness.loseLauncher) expect(found[0]?.serverName).toBe(first?.serverName);
    const [unneeded] = found;
    if (!unneeded) throw new Error('nothing found');
    expect(await runner.removeUnneeded(unneeded, () => needed(0), 'polite', never)).toBe(false);
    expect(await phases(0)).toEqual(['ready']);
    const replaced = { ...unneeded, serverId: 'another run' };
    expect(await runner.removeUnneeded(replaced, () => [], 'force', never)).toBe(false);
    expect(await runner.removeUnneeded(unneeded, () => [], 'polite', never)).toBe(true);
    expect(await phases(0)).toEqual(['absent']);
    expect(await runner.findUnneeded([], never)).toEqual([]);
  });

  contractCase(
    'finds the server of a GPU that nobody needs, of a model that is needed on another',
    async () => {
      const [, other] = await start(0, 1);
      wanted = [deployment(0)];
      expect(await runner.findUnneeded(needed(0, 1), never)).toEqual([]);
      const found = await runner.findUnneeded(needed(0), never);
      expect(found.map(({ serverName }) => serverName)).toEqual(
        harness.sharesServer ? [] : [other?.serverName],
      );
      const [unneeded] = found;
      if (!unneeded) return;
      expect(await runner.removeUnneeded(unneeded, () => needed(0, 1), 'polite', never)).toBe(false);
      expect(await phases(0, 1)).toEqual(['ready', 'ready']);
      expect(await runner.removeUnneeded(unneeded, () => needed(0), 'polite', never)).toBe(true);
      expect(await phases(0, 1)).toEqual(['ready', 'absent']);
    },
  );

  contractCase('removes by force what nobody needs', async () => {
    await start(0);
    wanted = [];
    const [unneeded] = await runner.findUnneeded([], never);
    if (!unneeded) throw new Error('nothing found');
    expect(await runner.removeUnneeded(unneeded, () => [], 'force', never)).toBe(true);
    expect(await phases(0)).toEqual(['absent']);
  });

  contractCase('a start that fails says why, and leaves nothing that a stop does not end', async () => {
    if (harness.failing === undefined) return;
    const failing = of(harness.failing, 0);
    wanted = [failing];
    const error: unknown = await runner.start(failing, context()).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(DomainError);
    expect((error as DomainError).facts.log).toEqual(expect.any(Array));
    const [seen] = await runner.getStatus(failing, AbortSignal.timeout(2000));
    expect(seen?.phase).toBe('absent');
    expect(seen?.reason).toEqual(expect.any(String));
    wanted = [];
    await runner.stop({ ...failing, gpuIds: [] }, [0], context());
    expect(await runner.findUnneeded([], never)).toEqual([]);
  });

  contractCase('a start that is given up returns soon, and a stop ends it', async () => {
    if (harness.endless === undefined) return;
    const endless = of(harness.endless, 0);
    wanted = [endless];
    const giveUp = new AbortController();
    const starting = runner.start(endless, context(giveUp.signal));
    starting.catch(() => undefined);
    const statusOf = (): Promise<readonly PlacementObservation[]> =>
      runner.getStatus(endless, AbortSignal.timeout(2000));
    await pollUntil(async () => ((await statusOf())[0]?.phase === 'starting' ? true : undefined), {
      intervalMs: 20,
      signal: AbortSignal.timeout(timeoutMs / 2),
    });
    giveUp.abort(new Error('given up'));
    const began = performance.now();
    await expect(starting).rejects.toThrow('given up');
    expect(performance.now() - began).toBeLessThan(2000);
    wanted = [];
    await runner.stopByForce({ ...endless, gpuIds: [] }, [0], context());
    expect((await statusOf())[0]?.phase).toBe('absent');
  });

  contractCase('a call that was given up before does nothing', async () => {
    const gone = AbortSignal.abort(new Error('given up'));
    await expect(runner.start(deployment(0), context(gone))).rejects.toThrow('given up');
    expect(await phases(0)).toEqual(['absent']);
  });

  contractCase('a status never throws: not for a launcher that is away, nor for a dead backend', async () => {
    const [first] = await start(0);
    if (!harness.loseLauncher) return;
    await harness.loseLauncher();
    // What the server says itself is as good.
    expect(await phases(0)).toEqual(['ready']);
    await kill(first);
    await untilPhase('unknown', 0);
    await expect(runner.findUnneeded([], AbortSignal.timeout(2000))).rejects.toBeInstanceOf(Error);
  });

  contractCase('a status that is given up comes back soon with what it knows', async () => {
    const [first] = await start(0);
    if (!first || !harness.freeze) return;
    await harness.freeze(first);
    const began = performance.now();
    const seen = await runner.getStatus(deployment(0), AbortSignal.timeout(200));
    expect(performance.now() - began).toBeLessThan(2000);
    expect(seen).toMatchObject([{ gpuId: 0, phase: 'silent' }]);
  });
}
