import { jest } from '@jest/globals';
import fc from 'fast-check';
import { StopFailedError } from '../../src/launchers/launcher.js';
import { ModelLoadError, ServerLostError } from '../../src/runners/errors.js';
import { SleepFailedError } from '../../src/runners/sleep.js';
import type { SleepWish } from '../../src/models/worker/sleeps.js';
import { FakeRunner } from '../fakes/fake-runner.js';
import { House } from '../fakes/house.js';
import { pass, settled, useFakeTime } from '../fakes/timers.js';

beforeEach(useFakeTime);
afterEach(() => {
  jest.useRealTimers();
});

const MODELS = ['A', 'B'] as const;
const model = fc.constantFrom(...MODELS);
const gpuId = fc.integer({ min: 0, max: 3 });

type Verb = 'start' | 'stop' | 'force' | 'sleep' | 'wake';
type Action =
  | {
      readonly kind: 'start' | 'stop';
      readonly model: string;
      readonly gpuId: number;
      /** Of a stop. */
      readonly manner: { readonly drainSeconds?: number; readonly force?: boolean };
    }
  | { readonly kind: 'rest'; readonly model: string; readonly gpuId: number; readonly wish: SleepWish }
  | { readonly kind: 'work'; readonly work: FakeRunner['work'] }
  | { readonly kind: 'crash'; readonly model: string }
  | { readonly kind: 'trouble'; readonly verb: Verb; readonly error: 'final' | 'bounded' }
  | { readonly kind: 'hold' | 'let go'; readonly verb: Verb }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'restart' };

const manner = fc.constantFrom(
  {},
  {},
  { drainSeconds: 0 },
  { drainSeconds: 1 },
  { drainSeconds: 4 },
  { force: true },
);
const command = fc.record({ kind: fc.constantFrom('start' as const, 'stop' as const), model, gpuId, manner });
const rest = fc.record({
  kind: fc.constant('rest' as const),
  model,
  gpuId,
  wish: fc.constantFrom<SleepWish>(
    { kind: 'sleep', level: 1 },
    { kind: 'sleep', level: 2 },
    { kind: 'wake' },
  ),
});
const verb = fc.constantFrom<Verb>('start', 'stop', 'force', 'sleep', 'wake');
const work = fc.constantFrom<FakeRunner['work']>(
  null,
  { open: 0, finished: 1 },
  { open: 2, finished: 1 },
  new Error('no metrics'),
);
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 12, arbitrary: command },
  { weight: 4, arbitrary: rest },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash' as const), model }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('trouble' as const),
      verb,
      error: fc.constantFrom('final' as const, 'bounded' as const),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('hold' as const, 'let go' as const), verb }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.constantFrom(0, 1, 100, 1500) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('work' as const), work }) },
);

const TROUBLE = {
  stop: new StopFailedError('stuck'),
  force: new StopFailedError('stuck'),
  sleep: new SleepFailedError('sleepless'),
  wake: new SleepFailedError('too tired'),
};

/** Runs the actions without waiting for answers; returns the answers, and the house as it is afterwards. */
async function play(
  actions: readonly Action[],
  runner = new FakeRunner(),
): Promise<{ house: House; answers: string[]; commands: number }> {
  let house = await House.withMemory({ runner }).boot();
  const pending: Promise<string>[] = [];
  const note = (promise: Promise<unknown>): void => {
    pending.push(
      promise.then(
        () => 'ok',
        (error: unknown) => (error as { code?: string }).code ?? String(error),
      ),
    );
  };
  for (const each of actions) {
    switch (each.kind) {
      case 'start':
        note(house.supervisor.start(each.model, each.gpuId, {}));
        break;
      case 'stop':
        note(house.supervisor.stop(each.model, each.gpuId, each.manner));
        break;
      case 'rest':
        note(house.supervisor.sleepOrWake(each.model, each.gpuId, each.wish));
        break;
      case 'crash':
        house.runner.crash(each.model);
        break;
      case 'trouble':
        house.runner.failNext(
          each.verb,
          each.verb !== 'start'
            ? TROUBLE[each.verb]
            : each.error === 'final'
              ? new ModelLoadError('broken')
              : new ServerLostError('died'),
        );
        break;
      case 'work':
        house.runner.work = each.work;
        break;
      case 'hold':
        house.runner.hold(each.verb);
        break;
      case 'let go':
        house.runner.letGo(each.verb);
        break;
      case 'wait':
        await pass(each.ms);
        break;
      case 'restart': {
        await house.supervisor.beforeApplicationShutdown();
        house = await House.withMemory({ runner, state: [...house.store.saved.values()] }).boot();
        break;
      }
    }
  }
  // From here on nothing stands in the way; longer than any delay, shorter than the deadlines.
  house.runner.letGo('start');
  house.runner.letGo('stop');
  house.runner.letGo('force');
  house.runner.letGo('sleep');
  house.runner.letGo('wake');
  for (let second = 0; second < 15; second += 1) {
    await pass(1000);
    await house.probe();
  }
  const answers = await Promise.all(pending);
  return { house, answers, commands: pending.length };
}

/** Status, desired state and the backend's world tell the same story. */
function expectAgreement(house: House): void {
  for (const name of MODELS) {
    const all = house.supervisor.deployments().find(({ modelName }) => modelName === name);
    const placements = [...new Set(all?.visible().map(({ placement }) => placement))];
    const gpusOf = (status: string): number[] =>
      placements.filter((each) => each.status === status).map((each) => each.gpuId);
    const [running, failed] = [gpusOf('RUNNING'), gpusOf('ERROR')];
    expect(placements).toHaveLength(running.length + failed.length); // nothing is STARTING for ever
    const held = placements.flatMap(({ gpuIds }) => gpuIds);
    expect(new Set(held).size).toBe(held.length); // no GPU is held twice by a model
    expect(house.store.wanted()[name] ?? []).toEqual(
      [...running.map((id) => `${id} serve`), ...failed.map((id) => `${id} failed`)].sort(),
    );
    expect(house.runner.servedOn(name)).toEqual(running);
  }
  expect(house.gpuOccupants.list().map(({ modelName, gpuId: id }) => `${modelName} ${id} RUNNING`)).toEqual(
    house.status().filter((line) => line.endsWith('RUNNING')),
  );
  const sleepers = house.supervisor
    .deployments()
    .flatMap(({ modelName, serving }) =>
      [...serving.values()].filter(({ sleeping }) => sleeping).map(({ gpuId: id }) => `${modelName} ${id}`),
    );
  expect(sleepers.sort()).toEqual([...house.runner.asleep].sort());
  expect(house.runner.overlapped).toBe(false);
  expect(house.runner.measuredTogether).toBe(false);
  expect(house.defects()).toEqual([]);
}

describe('any sequence of commands', () => {
  it('is answered, and status, desired state and backend agree afterwards', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.oneof(command), { minLength: 1, maxLength: 50 }), async (actions) => {
        const { house, answers, commands } = await play(actions);
        expect(answers).toHaveLength(commands);
        expect(answers.filter((answer) => answer !== 'ok' && answer !== 'MODEL_NOT_RUNNING')).toEqual([]);
        expect(house.status().filter((line) => !line.endsWith('RUNNING'))).toEqual([]);
        expectAgreement(house);
      }),
      { numRuns: 60 },
    );
  });

  it('one after another leaves exactly what was started last', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 30 }), async (commands) => {
        const house = await House.withMemory().boot();
        const expected = new Set<string>();
        for (const { kind, model: name, gpuId: id } of commands) {
          await house.supervisor[kind === 'start' ? 'start' : 'stop'](name, id, {}).catch(() => undefined);
          if (kind === 'start') expected.add(`${name} ${id} RUNNING`);
          else expected.delete(`${name} ${id} RUNNING`);
        }
        await settled();
        expect(house.status().sort()).toEqual([...expected].sort());
        expectAgreement(house);
      }),
      { numRuns: 40 },
    );
  });

  it('amid crashes, failures, hanging calls and restarts is answered, and all agrees in the end', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 1, maxLength: 60 }), async (actions) => {
        const { house, answers, commands } = await play(actions);
        expect(answers).toHaveLength(commands);
        expectAgreement(house);
      }),
      { numRuns: 120 },
    );
  });

  it('is so where placements hold several GPUs, and servers measure free memory as they start', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(action, { minLength: 1, maxLength: 60 }),
        fc.constantFrom(1, 2, 3),
        async (actions, span) => {
          const runner = new FakeRunner();
          Object.assign(runner, { span, measures: true });
          const { house, answers, commands } = await play(actions, runner);
          expect(answers).toHaveLength(commands);
          expectAgreement(house);
        },
      ),
      { numRuns: 120 },
    );
  });
});
