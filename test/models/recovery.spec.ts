import { jest } from '@jest/globals';
import { GpuReadError } from '../../src/gpus/gpu-provider.js';
import { StopFailedError } from '../../src/launchers/launcher.js';
import { DeploymentState } from '../../src/models/deployment/deployment-state.js';
import { FakeRunner } from '../fakes/fake-runner.js';
import { House } from '../fakes/house.js';
import { desired } from '../fakes/memory-store.js';
import { pass, settled, useFakeTime } from '../fakes/timers.js';

beforeEach(useFakeTime);
afterEach(() => {
  jest.useRealTimers();
});

/** A backend that has outlived the service. */
function serving(model: string, ...gpuIds: number[]): FakeRunner {
  const runner = new FakeRunner();
  runner.world.set(model, new Set(gpuIds));
  return runner;
}

describe('after a restart of the service', () => {
  it('what serves goes on serving, untouched', async () => {
    const state = [
      desired('A', [
        { gpu_id: 0, wanted: 'serve' },
        { gpu_id: 1, wanted: 'serve' },
      ]),
    ];
    const house = await House.withMemory({ runner: serving('A', 0, 1), state }).boot();
    expect(house.status()).toEqual(['A 0 RUNNING', 'A 1 RUNNING']);
    expect(house.runner.calls).toEqual([]);
    expect(house.supervisor.deployments()[0]?.createdAt).toEqual(new Date('2023-12-31T00:00:00.000Z'));
  });

  it('what was starting, or has died meanwhile, is started', async () => {
    const state = [desired('A', [{ gpu_id: 0, wanted: 'serve' }], { instances: 5 })];
    const house = await House.withMemory({ state }).boot();
    expect(house.runner.calls).toEqual(['start A [0]']);
    expect(house.status()).toEqual(['A 0 RUNNING']);
    expect(house.gpuOccupants.list()).toMatchObject([{ modelName: 'A', gpuId: 0, instances: 5 }]);
  });

  it('what the backend is still starting is waited for, and given up in the end', async () => {
    const runner = new FakeRunner();
    runner.phase = 'starting';
    const state = [desired('A', [{ gpu_id: 0, wanted: 'serve' }])];
    const house = await House.withMemory({ runner, state }).boot();
    expect(house.status()).toEqual(['A 0 STARTING']);
    await pass(runner.startTimeoutMs);
    await house.probe();
    expect(house.placement('A', 0)?.error).toMatch(/^BACKEND_TIMEOUT/);
    expect(runner.calls).toEqual(['stop A [0]']);
  });

  it('nothing is done to what does not answer', async () => {
    const runner = serving('A', 0);
    runner.phase = 'unknown';
    const state = [desired('A', [{ gpu_id: 0, wanted: 'serve' }])];
    const house = await House.withMemory({ runner, state }).boot();
    await pass(10 * runner.startTimeoutMs);
    await house.probe();
    expect(house.status()).toEqual(['A 0 STARTING']);
    runner.phase = undefined;
    await house.probe();
    expect(house.status()).toEqual(['A 0 RUNNING']);
    expect(runner.calls).toEqual([]);
  });

  it('a stop that was under way is completed', async () => {
    const state = [
      desired('A', [
        { gpu_id: 0, wanted: 'release' },
        { gpu_id: 1, wanted: 'serve' },
      ]),
    ];
    const house = await House.withMemory({ runner: serving('A', 0, 1), state }).boot();
    expect(house.runner.calls).toEqual(['stop A [0] keep [1]']);
    expect(house.status()).toEqual(['A 1 RUNNING']);
    expect(house.store.wanted()).toEqual({ A: ['1 serve'] });
  });

  it('a stop and the start that followed it are carried out in that order', async () => {
    const state = [
      desired('A', [
        { gpu_id: 0, wanted: 'release' },
        { gpu_id: 0, wanted: 'serve' },
      ]),
    ];
    const house = await House.withMemory({ runner: serving('A', 0), state }).boot();
    expect(house.runner.calls).toEqual(['stop A [0]', 'start A [0]']);
    expect(house.store.wanted()).toEqual({ A: ['0 serve'] });
  });

  it('an ERROR is still one, with its cause; it is cleaned up and not tried', async () => {
    const at = '2023-12-31T00:30:00.000Z';
    const error = { code: 'MODEL_LOAD_FAILED', message: 'no model.py', log: ['last'], at };
    const history = { status: 'ERROR' as const, since: at, restarts: 2 };
    const state = [desired('A', [{ gpu_id: 0, wanted: 'failed', error, history }])];
    const house = await House.withMemory({ state }).boot();
    await pass(100_000);
    expect(house.placement('A', 0)).toEqual({ status: 'ERROR', error: 'MODEL_LOAD_FAILED: no model.py' });
    expect(house.runner.calls).toEqual(['stop A [0]']);
    expect(house.store.saved.get('A')?.placements).toEqual([{ gpu_id: 0, wanted: 'failed', error, history }]);
  });

  it('a clean-up that fails does not keep the model from other GPUs', async () => {
    const runner = new FakeRunner();
    runner.failNext('stop', ...Array.from({ length: 9 }, () => new StopFailedError('stuck')));
    const state = [
      desired('A', [
        { gpu_id: 0, wanted: 'failed', error: { code: 'X', message: 'x' } },
        { gpu_id: 1, wanted: 'serve' },
      ]),
    ];
    const house = await House.withMemory({ runner, state }).boot();
    expect(house.status()).toEqual(['A 0 ERROR', 'A 1 RUNNING']);
  });

  it('what has to be started waits for GPUs that cannot be read yet', async () => {
    const state = [desired('A', [{ gpu_id: 0, wanted: 'serve' }])];
    const house = House.withMemory({ state });
    house.gpus.error = new GpuReadError('the driver is not loaded');
    await house.boot();
    expect(house.placement('A', 0)).toEqual({
      status: 'STARTING',
      progress: 'trying again after: The GPUs cannot be read: the driver is not loaded',
    });
    house.gpus.error = undefined;
    await pass(1000);
    expect(house.status()).toEqual(['A 0 RUNNING']);
  });

  it('what has to be stopped is stopped without a word of the GPUs', async () => {
    const state = [desired('A', [{ gpu_id: 0, wanted: 'release' }])];
    const house = House.withMemory({ state, runner: serving('A', 0) });
    house.gpus.error = new GpuReadError('the driver is not loaded');
    await house.boot();
    expect(house.status()).toEqual([]);
  });

  it('options that the backend no longer takes become its defaults', async () => {
    const state = [desired('A', [{ gpu_id: 0, wanted: 'serve' }], { instances: 'many', colour: 'red' })];
    const house = await House.withMemory({ state }).boot();
    expect(house.status()).toEqual(['A 0 RUNNING']);
    expect(house.supervisor.deployments()[0]?.options).toEqual({ instances: 2 });
    expect(house.lines).toContainEqual(expect.objectContaining({ level: 50 }));
  });

  it.each([
    [
      'of a backend that there is not',
      { ...desired('gone', [{ gpu_id: 0, wanted: 'serve' }]), model_type: 'other' },
    ],
    ['of another backend now', { ...desired('A', [{ gpu_id: 0, wanted: 'serve' }]), model_type: 'vllm' }],
  ])('a model %s is left as it is', async (_name, deployment) => {
    const house = await House.withMemory({ state: [deployment] }).boot();
    expect(house.status()).toEqual([]);
    expect(house.runner.calls).toEqual([]);
    expect(house.store.saved.get(deployment.model_name)).toEqual(deployment);
    expect(house.lines).toContainEqual(expect.objectContaining({ level: 50 }));
  });

  it('nothing is looked at before the state has been read', async () => {
    const runner = serving('A', 0);
    const house = House.withMemory({ runner, state: [desired('A', [{ gpu_id: 0, wanted: 'serve' }])] });
    const booting = house.supervisor.onApplicationBootstrap();
    house.supervisor.probeAll();
    expect(house.supervisor.isReady).toBe(false);
    expect(runner.statusCalls).toBe(0);
    await expect(house.supervisor.start('A', 1, {})).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    await booting;
    await settled();
    expect(house.supervisor.isReady).toBe(true);
    expect(runner.calls).toEqual([]);
  });
});

const CAME_UP = '2023-12-31T00:30:00.000Z';
const CRASH = { at: CAME_UP, message: 'server-A ended with exit code 137', log: ['last'] };

/** What is written of a placement that the last run has left so. */
function history(status: 'STARTING' | 'RUNNING' | 'ERROR', restarts = 0) {
  return { status, since: CAME_UP, restarts, ...(restarts > 0 && { last_crash: CRASH }) };
}

const FAILED = { wanted: 'failed' as const, history: history('ERROR') };
const X = { code: 'X', message: 'x', at: CAME_UP };

describe('the desired state of a deployment', () => {
  it.each([
    [
      [
        { gpu_id: 1, wanted: 'serve' as const, history: history('STARTING') },
        { gpu_id: 2, ...FAILED, error: X },
      ],
    ],
    [[{ gpu_id: 2, ...FAILED }]],
    [[{ gpu_id: 1, gpu_ids: [1, 0, 2], wanted: 'serve' as const, history: history('RUNNING', 3) }]],
    [
      [
        { gpu_id: 0, wanted: 'release' as const },
        { gpu_id: 0, ...FAILED, error: X },
      ],
    ],
  ])('comes back from the disk as it went: %j', (placements) => {
    const deployment = desired('A', placements);
    const state = DeploymentState.restore(deployment, deployment.options, new FakeRunner(), new Date());
    expect(state.toDesired()).toEqual(deployment);
  });
});
