import { pollUntil } from '../../../src/common/deadline.js';
import { DomainError } from '../../../src/common/errors.js';
import type { PlacementObservation } from '../../../src/runners/observation.js';
import { never, type RunnerRig } from './rig.js';

/** Servers that die or freeze, starts that fail, and calls that are given up. */
export function faultCases(rig: RunnerRig): void {
  rig.case('a server that died is absent, with the reason, and a start brings it back', async () => {
    const changes: number[] = [];
    const end = rig.runner.onChange(() => changes.push(1));
    const [first] = await rig.start(0);
    await rig.kill(first);
    const [dead] = await rig.untilPhase('absent', 0);
    expect(dead).toMatchObject({ pid: null });
    await pollUntil(() => Promise.resolve(changes.length > 0 || undefined), {
      intervalMs: 10,
      signal: AbortSignal.timeout(5000),
    });
    const [back] = await rig.start(0);
    expect(back?.phase).toBe('ready');
    end();
  });

  rig.case('recycles a server that does not answer, and no other', async () => {
    const [first] = await rig.start(0);
    if (!first) throw new Error('nothing started');
    expect(await rig.runner.recycle(rig.deployment(0), rig.context())).toBe(false);
    expect(await rig.phases(0)).toEqual(['ready']);
    if (!rig.harness.freeze) return;
    await rig.harness.freeze(first);
    const seen = await rig.runner.getStatus(rig.deployment(0), AbortSignal.timeout(500));
    expect(seen.map(({ phase }) => phase)).toEqual(['silent']);
    expect(await rig.runner.recycle(rig.deployment(0), rig.context())).toBe(true);
    expect(await rig.phases(0)).toEqual(['absent']);
    await rig.start(0);
  });

  rig.case('a frozen server is ended by force', async () => {
    const [first] = await rig.start(0);
    if (!first || !rig.harness.freeze) return;
    await rig.harness.freeze(first);
    rig.wanted = [];
    await rig.runner.stopByForce(rig.deployment(), [0], rig.context());
    expect(await rig.phases(0)).toEqual(['absent']);
  });

  rig.case('a start that fails says why, and leaves nothing that a stop does not end', async () => {
    if (rig.harness.failing === undefined) return;
    const failing = rig.of(rig.harness.failing, 0);
    rig.wanted = [failing];
    const error: unknown = await rig.runner.start(failing, rig.context()).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(DomainError);
    expect((error as DomainError).facts.log).toEqual(expect.any(Array));
    const [seen] = await rig.runner.getStatus(failing, AbortSignal.timeout(2000));
    expect(seen?.phase).toBe('absent');
    expect(seen?.reason).toEqual(expect.any(String));
    rig.wanted = [];
    await rig.runner.stop({ ...failing, gpuIds: [] }, [0], rig.context());
    expect(await rig.runner.findUnneeded([], never)).toEqual([]);
  });

  rig.case('a start that is given up returns soon, and a stop ends it', async () => {
    if (rig.harness.endless === undefined) return;
    const endless = rig.of(rig.harness.endless, 0);
    rig.wanted = [endless];
    const giveUp = new AbortController();
    const starting = rig.runner.start(endless, rig.context(giveUp.signal));
    starting.catch(() => undefined);
    const statusOf = (): Promise<readonly PlacementObservation[]> =>
      rig.runner.getStatus(endless, AbortSignal.timeout(2000));
    await rig.until(async () => ((await statusOf())[0]?.phase === 'starting' ? true : undefined));
    giveUp.abort(new Error('given up'));
    const began = performance.now();
    await expect(starting).rejects.toThrow('given up');
    expect(performance.now() - began).toBeLessThan(2000);
    rig.wanted = [];
    await rig.runner.stopByForce({ ...endless, gpuIds: [] }, [0], rig.context());
    expect((await statusOf())[0]?.phase).toBe('absent');
  });

  rig.case('a call that was given up before does nothing', async () => {
    const gone = AbortSignal.abort(new Error('given up'));
    await expect(rig.runner.start(rig.deployment(0), rig.context(gone))).rejects.toThrow('given up');
    expect(await rig.phases(0)).toEqual(['absent']);
  });

  rig.case('a status never throws: not for a launcher that is away, nor for a dead backend', async () => {
    const [first] = await rig.start(0);
    if (!rig.harness.loseLauncher) return;
    await rig.harness.loseLauncher();
    // What the server says itself is as good.
    expect(await rig.phases(0)).toEqual(['ready']);
    await rig.kill(first);
    await rig.untilPhase('unknown', 0);
    await expect(rig.runner.findUnneeded([], AbortSignal.timeout(2000))).rejects.toBeInstanceOf(Error);
  });

  rig.case('a status that is given up comes back soon with what it knows', async () => {
    const [first] = await rig.start(0);
    if (!first || !rig.harness.freeze) return;
    await rig.harness.freeze(first);
    const began = performance.now();
    const seen = await rig.runner.getStatus(rig.deployment(0), AbortSignal.timeout(200));
    expect(performance.now() - began).toBeLessThan(2000);
    expect(seen).toMatchObject([{ gpuId: 0, phase: 'silent' }]);
  });
}
