import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServerExit } from '../../../src/launchers/launcher.js';
import { isAlive, never, type LauncherRig } from './rig.js';

/** Stops, exits, and calls that are given up. */
export function endCases(rig: LauncherRig): void {
  rig.case('stops politely, and nothing is left', async () => {
    const { name, pid } = await rig.launcher.launch(rig.specOf(rig.harness.programs.polite), never);
    const begin = Date.now();
    await rig.launcher.stop(name, 20, never);
    expect(Date.now() - begin).toBeLessThan(10_000);
    expect(isAlive(pid)).toBe(false);
    expect(await rig.launcher.inspect(name, never)).toBeUndefined();
    expect(await rig.launcher.list(rig.labels, never)).toEqual([]);
  });

  rig.case('stops by force what ignores SIGTERM, at the end of the grace', async () => {
    const { name, pid } = await rig.launcher.launch(rig.specOf(rig.harness.programs.stubborn), never);
    await rig.untilLogged(name, 'ready');
    const begin = Date.now();
    await rig.launcher.stop(name, 1, never);
    expect(Date.now() - begin).toBeGreaterThan(900);
    expect(isAlive(pid)).toBe(false);
    expect(await rig.launcher.inspect(name, never)).toBeUndefined();
  });

  rig.case('stops with the signal it was launched for, also after a restart of the service', async () => {
    const spec = rig.specOf(rig.harness.programs.interruptible, { stopSignal: 'SIGINT' });
    const { name, pid } = await rig.launcher.launch(spec, never);
    await rig.untilLogged(name, 'ready');
    await rig.launcher.close();
    const begin = Date.now();
    await rig.another().stop(name, 20, never);
    expect(Date.now() - begin).toBeLessThan(10_000);
    expect(isAlive(pid)).toBe(false);
  });

  rig.case('stopping what is already gone, or dead, is success', async () => {
    await rig.launcher.stop(`mic-test-${randomUUID()}`, 1, never);
    const { name } = await rig.launcher.launch(rig.specOf(rig.harness.programs.shortLived), never);
    await rig.untilDead(name);
    await rig.launcher.stop(name, 1, never);
    await rig.launcher.stop(name, 1, never);
    expect(await rig.launcher.inspect(name, never)).toBeUndefined();
  });

  rig.case('reports an exit with its code, once, and keeps the output', async () => {
    const exits: ServerExit[] = [];
    const silent: ServerExit[] = [];
    rig.launcher.onExit(() => {
      throw new Error('a listener that fails');
    });
    rig.launcher.onExit((exit) => exits.push(exit));
    rig.launcher.onExit((exit) => silent.push(exit))();
    const { id, name } = await rig.launcher.launch(rig.specOf(rig.harness.programs.shortLived), never);
    const exit = await rig.inTime(() => Promise.resolve(exits.find((each) => each.name === name)));
    expect(exit).toMatchObject({ id, name, exitCode: 7 });
    expect(await rig.launcher.inspect(name, never)).toMatchObject({
      id,
      running: false,
      pid: null,
      exitCode: 7,
    });
    await sleep(400);
    expect(exits.filter((each) => each.name === name)).toHaveLength(1);
    expect(silent).toEqual([]);
    expect(await rig.launcher.logs(name, 10, never)).toContain('going');
  });

  rig.case('reports the exit of a stop as well', async () => {
    const exits: ServerExit[] = [];
    rig.launcher.onExit((exit) => exits.push(exit));
    const { id, name } = await rig.launcher.launch(rig.specOf(rig.harness.programs.polite), never);
    await rig.launcher.stop(name, 5, never);
    await rig.inTime(() => Promise.resolve(exits.find((each) => each.id === id)));
  });

  rig.case('an aborted call ends, and what it was about can still be told', async () => {
    const spec = rig.specOf(rig.harness.programs.stubborn);
    const aborted = AbortSignal.abort(new Error('given up'));
    await expect(rig.launcher.launch(spec, aborted)).rejects.toThrow('given up');
    await expect(rig.launcher.check(spec, aborted)).rejects.toThrow('given up');
    expect(await rig.launcher.inspect(spec.name, never)).toBeUndefined();

    await rig.launcher.launch(spec, never);
    await rig.untilLogged(spec.name, 'ready');
    const giveUp = new AbortController();
    const stop = rig.launcher.stop(spec.name, 30, giveUp.signal);
    setTimeout(() => {
      giveUp.abort(new Error('given up'));
    }, 200);
    const begin = Date.now();
    await expect(stop).rejects.toThrow('given up');
    expect(Date.now() - begin).toBeLessThan(2000);
    expect(await rig.launcher.inspect(spec.name, never)).toMatchObject({ name: spec.name });
    await rig.launcher.stop(spec.name, 0, never);
    expect(await rig.launcher.inspect(spec.name, never)).toBeUndefined();
  });
}
