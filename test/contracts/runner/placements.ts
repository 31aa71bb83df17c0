import { never, type RunnerRig } from './rig.js';

/** Starts and stops, on one GPU and on several. */
export function placementCases(rig: RunnerRig): void {
  rig.case('has default options that are valid, and times', async () => {
    const options = rig.runner.defaultOptions(rig.harness.model);
    expect(await rig.runner.optionsSchema.parseAsync(options)).toEqual(options);
    expect(rig.runner.instancesPerGpu(options, rig.harness.model)).toBeGreaterThanOrEqual(1);
    expect(rig.runner.models).toContain(rig.harness.model);
    expect(rig.runner.startTimeoutMs).toBeGreaterThan(0);
    expect(rig.runner.stopTimeoutMs).toBeGreaterThan(0);
    expect(rig.runner.gpusOf(2, options)).toContain(2);
  });

  rig.case('what was never started is absent, and stopping it is success', async () => {
    expect(await rig.phases(0, 1)).toEqual(['absent', 'absent']);
    await rig.stop([], [0]);
    await rig.runner.stopByForce(rig.deployment(), [0], rig.context());
    expect(await rig.runner.recycle(rig.deployment(0), rig.context())).toBe(false);
    expect(await rig.runner.findUnneeded([], never)).toEqual([]);
  });

  rig.case('a preflight changes nothing', async () => {
    await rig.runner.preflight(rig.deployment(0, 1), rig.context());
    expect(await rig.phases(0, 1)).toEqual(['absent', 'absent']);
    expect(await rig.runner.findUnneeded([], never)).toEqual([]);
    await rig.start(0);
    await rig.runner.preflight(rig.deployment(0, 1), rig.context());
    expect(await rig.phases(0, 1)).toEqual(['ready', 'absent']);
  });

  rig.case('starts, and says where; once more changes nothing', async () => {
    const [first] = await rig.start(0);
    expect(first?.gpuId).toBe(0);
    expect(first?.pid).toEqual(expect.any(Number));
    expect(first?.port).toEqual(expect.any(Number));
    expect(first?.serverName).toEqual(expect.any(String));
    const [again] = await rig.start(0);
    expect(again?.pid).toBe(first?.pid);
  });

  rig.case('adds a GPU, and what serves goes on', async () => {
    const [before] = await rig.start(0);
    const [after, added] = await rig.start(0, 1);
    expect(after?.pid).toBe(before?.pid);
    expect(added?.gpuId).toBe(1);
    expect(added?.pid === before?.pid).toBe(rig.harness.sharesServer);
  });

  rig.case('takes a GPU away, and what stays goes on', async () => {
    const [before] = await rig.start(0, 1);
    await rig.stop([0], [1]);
    const [left, gone] = await rig.status(0, 1);
    expect(left).toMatchObject({ phase: 'ready', pid: before?.pid });
    expect(gone?.phase).toBe('absent');
  });

  rig.case('stops all, and nothing is left; once more is success', async () => {
    await rig.start(0, 1);
    await rig.stop([], [0, 1]);
    expect(await rig.phases(0, 1)).toEqual(['absent', 'absent']);
    expect(await rig.runner.findUnneeded([], never)).toEqual([]);
    await rig.stop([], [0, 1]);
    await rig.start(1);
    expect(await rig.phases(0, 1)).toEqual(['absent', 'ready']);
  });

  rig.case('stops by force, and once more is success', async () => {
    await rig.start(0);
    rig.wanted = [];
    await rig.runner.stopByForce(rig.deployment(), [0], rig.context());
    expect(await rig.phases(0)).toEqual(['absent']);
    await rig.runner.stopByForce(rig.deployment(), [0], rig.context());
    expect(await rig.runner.findUnneeded([], never)).toEqual([]);
  });
}
