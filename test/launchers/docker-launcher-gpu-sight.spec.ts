import { engine, labels, launcher, never, useFakeEngine } from './docker-launcher-rig.js';

const GPUS = 'GPU 0: NVIDIA L4 (UUID: GPU-5f3c1d2e)\nGPU 1: NVIDIA L4 (UUID: GPU-8b7a4c6d)\n';
const LOST = 'Failed to initialize NVML: Unknown Error\n';

describe('whether a container reaches its GPUs', () => {
  useFakeEngine();

  const ask = (maxAgeMs = 0) => launcher.gpuSight('triton_server', maxAgeMs, never);

  beforeEach(() => {
    engine.put({ id: 'c1', name: 'triton_server', labels, running: true, exitCode: 0 });
  });

  it.each([
    ['its GPUs', GPUS, 'there'],
    ['that NVML cannot be initialised there any more', LOST, { lost: LOST.trim() }],
    [
      'that the driver is another by now',
      'Failed to initialize NVML: Driver/library version mismatch\n',
      'unknown',
    ],
    ['that there are none', 'No devices were found\n', 'unknown'],
    ['nothing', '', 'unknown'],
    ['that there is no such program', undefined, 'unknown'],
  ])('is told by nvidia-smi inside it, which says %s', async (_name, output, sight) => {
    engine.smi = () => output;
    expect(await ask()).toEqual(sight);
    expect(engine.execs).toHaveLength(1);
  });

  it('is asked once for all who ask in a while, and anew of another container of that name', async () => {
    engine.smi = (id) => (id === 'c1' ? LOST : GPUS);
    const answers = await Promise.all([ask(60_000), ask(60_000), ask(60_000)]);
    expect(answers).toEqual(Array.from({ length: 3 }, () => ({ lost: LOST.trim() })));
    expect(engine.execs).toHaveLength(1);
    engine.containers.clear();
    engine.put({ id: 'c2', name: 'triton_server', labels, running: true, exitCode: 0 });
    expect(await ask(60_000)).toBe('there');
    await ask(0);
    expect(engine.execs).toHaveLength(3);
  });

  it('is unknown of what does not run, is not ours, or is not there; nobody is asked', async () => {
    engine.smi = () => LOST;
    engine.put({ id: 'c1', name: 'triton_server', labels, running: false, exitCode: 0 });
    expect(await ask()).toBe('unknown');
    engine.put({ id: 'c1', name: 'triton_server', labels: {}, running: true, exitCode: 0 });
    expect(await ask()).toBe('unknown');
    engine.containers.clear();
    expect(await ask()).toBe('unknown');
    expect(engine.execs).toEqual([]);
  });

  it('is for who asks to give up', async () => {
    engine.smi = () => 'hangs';
    await expect(launcher.gpuSight('triton_server', 0, AbortSignal.timeout(100))).rejects.toThrow();
  });

  it('is unknown while the question before hangs, and no second one is asked beside it', async () => {
    engine.smi = () => 'hangs';
    expect(await ask()).toBe('unknown');
    expect(await ask()).toBe('unknown');
    expect(engine.execs).toHaveLength(1);
    for (const exec of engine.execs) exec.isRunning = false;
    engine.smi = () => GPUS;
    expect(await ask()).toBe('there');
  });

  it('cannot be told without the Engine', async () => {
    await engine.stop();
    await expect(ask()).rejects.toMatchObject({ code: 'DOCKER_UNAVAILABLE' });
  });
});
