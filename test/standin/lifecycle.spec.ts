import { ModelLifecycle } from '../../standin/tritonserver/lifecycle.js';
import { glog } from '../../standin/tritonserver/log.js';
import { TritonError } from '../../standin/tritonserver/triton-error.js';
import { FakeRepositories } from './fake-repositories.js';
import { ManualPace } from './manual-pace.js';

const ON_GPU_0 = '[ { count: 1 kind: KIND_GPU gpus: [ 0 ] } ]';
const ON_GPUS_0_AND_1 = '[ { count: 1 kind: KIND_GPU gpus: [ 0, 1 ] } ]';
const ON_GPU_9 = '[ { count: 1 kind: KIND_GPU gpus: [ 9 ] } ]';

describe('lifecycle of the stand-in', () => {
  let repositories: FakeRepositories;
  let pace: ManualPace;
  let lifecycle: ModelLifecycle;
  let lines: string[];

  beforeEach(() => {
    repositories = new FakeRepositories();
    repositories.write('MAM', ON_GPU_0);
    pace = new ManualPace();
    lines = [];
    lifecycle = new ModelLifecycle(
      repositories,
      [0, 1],
      pace,
      glog((line) => lines.push(line)),
    );
  });

  const row = async (name: string): Promise<object | undefined> =>
    (await lifecycle.index()).find((candidate) => candidate.name === name);
  const load = async (name: string): Promise<void> => {
    const loading = lifecycle.load(name);
    await pace.end(`load ${name}`);
    await loading;
  };
  const gpus = (name: string): number[] | undefined => lifecycle.serving(name).config.instance_group[0]?.gpus;

  it('lists a model that was never loaded by its name alone', async () => {
    expect(await lifecycle.index()).toEqual([{ name: 'MAM' }]);
    expect(lifecycle.allReady).toBe(true);
  });

  it('loads: LOADING and not ready, then READY', async () => {
    const loading = lifecycle.load('MAM');
    expect(await pace.begun('load MAM')).toBe(1000);
    expect(await row('MAM')).toEqual({ name: 'MAM', version: '1', state: 'LOADING' });
    expect(lifecycle.isReady('MAM')).toBe(false);
    expect(lifecycle.allReady).toBe(false);
    expect(() => lifecycle.serving('MAM')).toThrow(
      "Request for unknown model: 'MAM' has no available versions",
    );

    await pace.end('load MAM');
    await loading;
    expect(await lifecycle.index(true)).toEqual([{ name: 'MAM', version: '1', state: 'READY' }]);
    expect(lifecycle.isReady('MAM', '1')).toBe(true);
    expect(lifecycle.isReady('MAM', '2')).toBe(false);
    expect(lifecycle.allReady).toBe(true);
  });

  it('does nothing for a loaded model that was not modified', async () => {
    await load('MAM');
    await lifecycle.load('MAM');
    expect(pace.underWay).toEqual([]);
  });

  it('loads different models side by side', async () => {
    repositories.write('FastFitAll', ON_GPU_0);
    const both = Promise.all([lifecycle.load('MAM'), lifecycle.load('FastFitAll')]);
    await pace.begun('load MAM');
    await pace.end('load FastFitAll');
    await pace.end('load MAM');
    await both;
    expect(lifecycle.served.map((model) => model.name)).toEqual(['FastFitAll', 'MAM']);
  });

  it('queues a load of a model that is loading, and has nothing left to do for it', async () => {
    const first = lifecycle.load('MAM');
    const second = lifecycle.load('MAM');
    await pace.end('load MAM');
    await Promise.all([first, second]);
    expect(pace.underWay).toEqual([]);
  });

  it('answers 500 for a model that is in no repository, and forgets it', async () => {
    const error = await lifecycle.load('Nope').catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(TritonError);
    expect((error as TritonError).httpStatus).toBe(500);
    expect((error as TritonError).message).toBe(
      "failed to load 'Nope', failed to poll from model repository",
    );
    expect(lines.at(-1)).toContain('model not found in any model repository');
    expect(() => lifecycle.serving('Nope')).toThrow("Request for unknown model: 'Nope' is not found");
    expect(lifecycle.allReady).toBe(true);
  });

  it('keeps the reason of a failed load, in the answer and in the index', async () => {
    repositories.write('Broken', ON_GPU_0, { fail_load: 'weights are missing' });
    const loading = lifecycle.load('Broken').catch((thrown: unknown) => thrown);
    await pace.end('load Broken');
    const error = (await loading) as TritonError;
    expect(error.httpStatus).toBe(400);
    expect(error.message).toBe(
      "load failed for model 'Broken': version 1 is at UNAVAILABLE state: Internal: weights are missing;\n",
    );
    const failed = { version: '1', state: 'UNAVAILABLE', reason: 'Internal: weights are missing' };
    expect(await row('Broken')).toEqual({ name: 'Broken', ...failed });
    expect(lifecycle.allReady).toBe(false);

    await lifecycle.unload('Broken');
    expect(await row('Broken')).toEqual({ name: 'Broken', ...failed });
  });

  it('refuses a GPU the host does not have', async () => {
    repositories.write('MAM', ON_GPU_9);
    await expect(lifecycle.load('MAM')).rejects.toThrow(
      "load failed for model 'MAM': version 1 is at UNAVAILABLE state: Invalid argument: instance group MAM_0 of " +
        'model MAM specifies invalid or unsupported gpu id 9. GPUs with at least the minimum required CUDA ' +
        'compute compatibility of 6.000000 are: 0, 1;',
    );
  });

  it('refuses a model without a version, and drops it from the index', async () => {
    repositories.write('Empty', ON_GPU_0, {}, []);
    await expect(lifecycle.load('Empty')).rejects.toThrow('at least one version must be available');
    expect(await row('Empty')).toBeUndefined();
  });

  it('adds and drops instances in place while it serves', async () => {
    await load('MAM');
    const before = lifecycle.serving('MAM');
    repositories.rewriteConfig('MAM', ON_GPUS_0_AND_1);
    const adding = lifecycle.load('MAM');
    await pace.begun('add instances of MAM');
    expect(await row('MAM')).toEqual({ name: 'MAM', version: '1', state: 'READY' });
    expect(gpus('MAM')).toEqual([0]);
    await pace.end('add instances of MAM');
    await adding;
    expect(lifecycle.serving('MAM')).toBe(before);
    expect(gpus('MAM')).toEqual([0, 1]);

    repositories.rewriteConfig('MAM', ON_GPU_0);
    const dropping = lifecycle.load('MAM');
    await pace.end('drop instances of MAM');
    await dropping;
    expect(lifecycle.serving('MAM')).toBe(before);
    expect(gpus('MAM')).toEqual([0]);
  });

  it('keeps serving where a change of instances fails, and says why until one succeeds', async () => {
    await load('MAM');
    repositories.rewriteConfig('MAM', ON_GPU_9);
    await expect(lifecycle.load('MAM')).rejects.toThrow('version 1 is at READY state: Invalid argument: ');
    expect(await row('MAM')).toMatchObject({
      state: 'READY',
      reason: expect.stringContaining('gpu id 9') as string,
    });
    expect(gpus('MAM')).toEqual([0]);

    repositories.rewriteConfig('MAM', ON_GPU_0);
    await lifecycle.load('MAM');
    expect(await row('MAM')).toEqual({ name: 'MAM', version: '1', state: 'READY' });
  });

  it('reloads in the background where other files changed, and releases the old one after the swap', async () => {
    await load('MAM');
    const old = lifecycle.serving('MAM');
    repositories.rewriteFiles('MAM');
    const reloading = lifecycle.load('MAM');
    await pace.begun('load MAM');
    expect(await row('MAM')).toEqual({ name: 'MAM', version: '1', state: 'READY' });
    expect(lifecycle.serving('MAM')).toBe(old);

    await pace.end('load MAM');
    await reloading;
    expect(lifecycle.serving('MAM')).not.toBe(old);
    expect(lifecycle.live).toBe(2);
    await pace.end('unload MAM');
    await lifecycle.unload('Nope');
    expect(lifecycle.live).toBe(1);
    expect(await row('MAM')).toEqual({ name: 'MAM', version: '1', state: 'READY' });
  });

  it('keeps the old one where a reload fails', async () => {
    await load('MAM');
    const old = lifecycle.serving('MAM');
    repositories.rewriteFiles('MAM', { fail_load: 'no' });
    const reloading = lifecycle.load('MAM');
    await pace.end('load MAM');
    await expect(reloading).rejects.toThrow('version 1 is at UNAVAILABLE state: Internal: no;');
    expect(lifecycle.serving('MAM')).toBe(old);
    expect(await row('MAM')).toEqual({ name: 'MAM', version: '1', state: 'READY' });
  });

  it('unloads: answers while UNLOADING, and is gone when requests in flight are done', async () => {
    await load('MAM');
    const answer = lifecycle.serving('MAM').execute(() => 'answered');
    await lifecycle.unload('MAM');
    expect(await row('MAM')).toEqual({ name: 'MAM', version: '1', state: 'UNLOADING' });
    expect(lifecycle.allReady).toBe(false);
    expect(lifecycle.inFlight).toBe(1);
    expect(pace.underWay).toEqual(['infer MAM']);

    await pace.end('infer MAM');
    expect(await answer).toBe('answered');
    const gone = lifecycle.unloadAll();
    await pace.end('unload MAM');
    await gone;
    expect(await row('MAM')).toEqual({ name: 'MAM', version: '1', state: 'UNAVAILABLE', reason: 'unloaded' });
    expect(lifecycle.allReady).toBe(true);
  });

  it('lets an unload during a load win when the load has ended', async () => {
    const loading = lifecycle.load('MAM');
    const unloading = lifecycle.unload('MAM');
    await pace.begun('load MAM');
    expect(await row('MAM')).toMatchObject({ state: 'LOADING' });
    await pace.end('load MAM');
    await Promise.all([loading, unloading]);
    expect(await row('MAM')).toMatchObject({ state: 'UNLOADING' });
  });

  it('loads again while the old one is still unloading', async () => {
    await load('MAM');
    await lifecycle.unload('MAM');
    const again = lifecycle.load('MAM');
    await pace.begun('load MAM');
    expect(await row('MAM')).toMatchObject({ state: 'LOADING' });
    await pace.end('load MAM');
    await again;
    await pace.end('unload MAM');
    expect(await row('MAM')).toEqual({ name: 'MAM', version: '1', state: 'READY' });
  });

  it('hangs where it is told to, and nothing else hangs with it', async () => {
    repositories.write('Hung', ON_GPU_0, { hang_load: true });
    void lifecycle.load('Hung');
    await load('MAM');
    expect(await row('Hung')).toMatchObject({ state: 'LOADING' });
    expect(await row('MAM')).toMatchObject({ state: 'READY' });
  });

  it('crashes where it is told to', async () => {
    repositories.write('Crash', ON_GPU_0, { crash_on_load: 42 });
    await load('Crash');
    expect(pace.crashes).toEqual([42]);
  });

  it('goes on serving a model whose directory is gone, outside the index', async () => {
    await load('MAM');
    repositories.remove('MAM');
    expect(await lifecycle.index()).toEqual([]);
    await expect(lifecycle.load('MAM')).rejects.toThrow('failed to poll');
    expect(lifecycle.isReady('MAM')).toBe(true);
  });

  it('works on as many requests as it has instances, and counts those that wait', async () => {
    repositories.write('MAM', ON_GPUS_0_AND_1);
    await load('MAM');
    const model = lifecycle.serving('MAM');
    const answers = Promise.all([1, 2, 3].map((value) => model.execute(() => value)));
    await pace.begun('infer MAM');
    expect([model.inFlight, model.pending]).toEqual([3, 1]);
    for (let request = 0; request < 3; request += 1) await pace.end('infer MAM');
    expect(await answers).toEqual([1, 2, 3]);
    expect(model.statistics.success).toBe(3);
    expect(model.inFlight).toBe(0);
  });
});
