import { never, type RunnerRig } from './rig.js';

/** Servers that run already: of an earlier instance, or needed by no placement. */
export function foundCases(rig: RunnerRig): void {
  rig.case('the next instance finds what runs, starts nothing twice, and stops it', async () => {
    const [first] = await rig.start(0);
    rig.runner = await rig.harness.create();
    expect(await rig.phases(0)).toEqual(['ready']);
    const [again] = await rig.start(0);
    expect(again?.pid).toBe(first?.pid);
    expect(await rig.runner.recycle(rig.deployment(0), rig.context())).toBe(false);
    await rig.stop([], [0]);
    expect(await rig.phases(0)).toEqual(['absent']);
    expect(await rig.runner.findUnneeded([], never)).toEqual([]);
  });

  rig.case('tells what serves to a service that has lost its state', async () => {
    const [first] = await rig.start(0, 1);
    rig.runner = await rig.harness.create();
    const { deployments, unclear } = await rig.runner.adoptable(never);
    expect(deployments.map(({ gpus: _gpus, ...rest }) => rest)).toEqual([rig.deployment(0, 1)]);
    for (const { gpus } of deployments) {
      if (!gpus) continue;
      expect([...gpus].map(([number, held]) => [number, held.map(({ uuid }) => uuid)])).toEqual([
        [0, ['GPU-0']],
        [1, ['GPU-1']],
      ]);
    }
    expect(unclear).toBeUndefined();
    expect([null, first?.serverName]).toContain(rig.runner.serverNameOf(rig.harness.model, 0));
    await rig.stop([], [0, 1]);
    expect(await rig.runner.adoptable(never)).toEqual({ deployments: [] });
  });

  rig.case('finds what nobody needs, and removes it unless somebody does by then', async () => {
    const [first] = await rig.start(0);
    expect(await rig.runner.findUnneeded(rig.needed(0), never)).toEqual([]);
    rig.wanted = [];
    const found = await rig.runner.findUnneeded([], never);
    expect(found).toMatchObject([{ running: true, models: [rig.harness.model] }]);
    if (rig.harness.loseLauncher) expect(found[0]?.serverName).toBe(first?.serverName);
    const [unneeded] = found;
    if (!unneeded) throw new Error('nothing found');
    expect(await rig.runner.removeUnneeded(unneeded, () => rig.needed(0), 'polite', never)).toBe(false);
    expect(await rig.phases(0)).toEqual(['ready']);
    const replaced = { ...unneeded, serverId: 'another run' };
    expect(await rig.runner.removeUnneeded(replaced, () => [], 'force', never)).toBe(false);
    expect(await rig.runner.removeUnneeded(unneeded, () => [], 'polite', never)).toBe(true);
    expect(await rig.phases(0)).toEqual(['absent']);
    expect(await rig.runner.findUnneeded([], never)).toEqual([]);
  });

  rig.case('finds the server of a GPU that nobody needs, of a model that is needed on another', async () => {
    const [, other] = await rig.start(0, 1);
    rig.wanted = [rig.deployment(0)];
    expect(await rig.runner.findUnneeded(rig.needed(0, 1), never)).toEqual([]);
    const found = await rig.runner.findUnneeded(rig.needed(0), never);
    expect(found.map(({ serverName }) => serverName)).toEqual(
      rig.harness.sharesServer ? [] : [other?.serverName],
    );
    const [unneeded] = found;
    if (!unneeded) return;
    expect(await rig.runner.removeUnneeded(unneeded, () => rig.needed(0, 1), 'polite', never)).toBe(false);
    expect(await rig.phases(0, 1)).toEqual(['ready', 'ready']);
    expect(await rig.runner.removeUnneeded(unneeded, () => rig.needed(0), 'polite', never)).toBe(true);
    expect(await rig.phases(0, 1)).toEqual(['ready', 'absent']);
  });

  rig.case('removes by force what nobody needs', async () => {
    await rig.start(0);
    rig.wanted = [];
    const [unneeded] = await rig.runner.findUnneeded([], never);
    if (!unneeded) throw new Error('nothing found');
    expect(await rig.runner.removeUnneeded(unneeded, () => [], 'force', never)).toBe(true);
    expect(await rig.phases(0)).toEqual(['absent']);
  });
}
