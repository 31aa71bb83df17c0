import type { Deployment } from '../../../src/runners/deployment.js';
import type { VllmRunner } from '../../../src/runners/vllm/vllm-runner.js';
import { RunnerRig } from '../../support/runner-rig.js';
import { standinRunner } from './rig.js';

/** `one` is served by a vLLM of now, `old` by an early version, which has none of the optional flags. */
const SETTINGS = {
  models: { one: { model: 'standin' }, old: { model: 'standin?old=1' } },
  stop_grace_seconds: 9,
};

describe('an early version of vLLM, and what a server is launched as', () => {
  let rig: RunnerRig;

  beforeEach(async () => {
    rig = await RunnerRig.create();
  });
  afterEach(() => rig.dispose());

  /** The service after a restart, with these changes to the file. */
  async function restarted(changes: Record<string, unknown> = {}): Promise<VllmRunner> {
    await rig.closeLaunchers();
    return standinRunner(rig, { ...SETTINGS, ...changes });
  }

  const on = (modelName: string, gpuId: number, runner: VllmRunner): Deployment => ({
    modelName,
    gpuIds: [gpuId],
    gpus: new Map([[gpuId, [{ id: gpuId, uuid: `GPU-${gpuId}` }]]]),
    options: runner.defaultOptions(modelName),
  });

  const serve = (modelName: string, gpuId: number, runner: VllmRunner) =>
    runner.start(on(modelName, gpuId, runner), {
      signal: AbortSignal.timeout(20_000),
      onProgress: () => undefined,
      gpus: [],
      wanted: () => [],
    });

  const seen = async (modelName: string, gpuId: number, runner: VllmRunner) => {
    const [placement] = await runner.getStatus(on(modelName, gpuId, runner), AbortSignal.timeout(10_000));
    return [placement?.phase, placement?.outdated];
  };

  it('nothing has changed by a restart of the service, which knows nothing of the version', async () => {
    const before = await restarted();
    await serve('old', 0, before);
    expect(await seen('old', 0, before)).toEqual(['ready', undefined]);
    expect(await seen('old', 0, await restarted())).toEqual(['ready', undefined]);
    const changed = await restarted({
      models: { ...SETTINGS.models, old: { model: 'standin?old=1', extra_args: ['--seed', '1'] } },
    });
    expect(await seen('old', 0, changed)).toEqual(['ready', ['args']]);
  }, 30_000);

  it('nothing has changed for what runs when a later launch learns more of the version', async () => {
    const runner = await restarted();
    await serve('one', 0, runner);
    await serve('old', 1, runner);
    expect(await seen('one', 0, runner)).toEqual(['ready', undefined]);
    expect(await seen('old', 1, runner)).toEqual(['ready', undefined]);
  }, 30_000);
});
