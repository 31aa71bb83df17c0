import { readdir } from 'node:fs/promises';
import { ComfyuiRunner } from '../../../src/runners/comfyui/comfyui-runner.js';
import type { Deployment } from '../../../src/runners/deployment.js';
import type { StopContext } from '../../../src/runners/runner-context.js';
import { ComfyuiStandin, EMPTY_IMAGE } from '../../support/comfyui-standin.js';
import { RunnerRig } from '../../support/runner-rig.js';
import { comfyuiConfig } from './configs.js';

const never = new AbortController().signal;
const own = { gpu_memory_mb: 12_000, gpu_policy: 'exclusive', drain_seconds: 30 };

describe('what a model of ComfyUI asks for', () => {
  const host = {
    launchers: { get: () => fail(), peek: () => fail() },
    isPortTaken: () => fail(),
    pullTimeoutSeconds: 1,
  };
  const fail = (): never => {
    throw new Error('not asked for');
  };
  const runnerOn = (device: string): ComfyuiRunner =>
    new ComfyuiRunner(comfyuiConfig({ device, model_configs: { chane_face: own } }), host);

  it('is in its configuration; on the CPU, no memory of a GPU', () => {
    expect(runnerOn('gpu').gpuNeeds('chane_face')).toEqual({ memoryMiB: 12_000, policy: 'exclusive' });
    expect(runnerOn('cpu').gpuNeeds('chane_face')).toEqual({ memoryMiB: null, policy: 'exclusive' });
    expect(runnerOn('gpu').gpuNeeds('other')).toEqual({ memoryMiB: null, policy: 'shared' });
    expect(runnerOn('gpu').drainSeconds('chane_face')).toBe(30);
    expect(runnerOn('gpu').drainSeconds('other')).toBe(0);
  });
});

describe('the polite end of a ComfyUI', () => {
  let rig: RunnerRig;

  beforeEach(async () => {
    rig = await RunnerRig.create();
  });

  afterEach(() => rig.dispose());

  it.each([
    { patienceMs: 10_000, images: 1, what: 'is held up by a prompt that came after the drain' },
    { patienceMs: 0, images: 0, what: 'without patience interrupts it' },
  ])('$what', async ({ patienceMs, images }) => {
    const standin = await ComfyuiStandin.create(rig.directory);
    await standin.behave({ prompt_seconds: 1 });
    const runner = new ComfyuiRunner(comfyuiConfig({ ...standin.location, ports: rig.ports }), rig.host());
    const context: StopContext = {
      signal: never,
      gpus: [{ id: 0, uuid: 'GPU-0' }],
      wanted: () => [],
      onProgress: () => undefined,
      patienceMs,
    };
    const deployment: Deployment = { modelName: 'chane_face', gpuIds: [0], options: {} };
    await runner.start(deployment, context);
    const body = JSON.stringify({ prompt: EMPTY_IMAGE });
    await fetch(`http://127.0.0.1:${rig.firstPort}/prompt`, { method: 'POST', body });
    expect(await runner.workload(deployment, [0], never)).toEqual({ open: 1, finished: 0 });
    await runner.stop({ ...deployment, gpuIds: [] }, [0], context);
    expect(await readdir(standin.outputDir)).toHaveLength(images);
    expect(await runner.findUnneeded([], never)).toEqual([]);
  });
});
