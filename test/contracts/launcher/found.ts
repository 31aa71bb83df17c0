import { randomUUID } from 'node:crypto';
import type { ServerExit } from '../../../src/launchers/launcher.js';
import { isAlive, never, RUN_LABEL, type LauncherRig } from './rig.js';

/** Servers that are looked for, by name and labels, and what they print. */
export function foundCases(rig: LauncherRig): void {
  rig.case('knows nothing of names that were never launched', async () => {
    expect(await rig.launcher.inspect(`mic-test-${randomUUID()}`, never)).toBeUndefined();
    expect(await rig.launcher.inspect('../../etc/passwd', never)).toBeUndefined();
    expect(await rig.launcher.logs(`mic-test-${randomUUID()}`, 10, never)).toEqual([]);
    expect(await rig.launcher.list(rig.labels, never)).toEqual([]);
  });

  rig.case('lists by labels, the dead included', async () => {
    const alive = await rig.launcher.launch(rig.specOf(rig.harness.programs.polite), never);
    const dead = await rig.launcher.launch(rig.specOf(rig.harness.programs.shortLived), never);
    const other = { ...rig.labels, [RUN_LABEL]: randomUUID() };
    const elsewhere = await rig.launcher.launch(
      rig.specOf(rig.harness.programs.polite, { labels: other }),
      never,
    );
    await rig.untilDead(dead.name);
    const listed = await rig.launcher.list(rig.labels, never);
    expect(listed.map((info) => [info.name, info.running]).sort()).toEqual(
      [
        [alive.name, true],
        [dead.name, false],
      ].sort(),
    );
    expect((await rig.launcher.list(other, never)).map((info) => info.name)).toEqual([elsewhere.name]);
  });

  rig.case('goes on when its launcher is closed, and the next one adopts it', async () => {
    const spec = rig.specOf(rig.harness.programs.polite);
    const launched = await rig.launcher.launch(spec, never);
    await rig.launcher.close();
    const next = rig.another();
    expect(await next.list(rig.labels, never)).toEqual([launched]);
    expect((await next.launch(spec, never)).id).toBe(launched.id);
    const exits: ServerExit[] = [];
    next.onExit((exit) => exits.push(exit));
    await next.stop(spec.name, 5, never);
    expect(isAlive(launched.pid)).toBe(false);
    await rig.inTime(() => Promise.resolve(exits.find((exit) => exit.id === launched.id)));
  });

  rig.case('gives the last lines of the output, oldest first, as plain text', async () => {
    const { name } = await rig.launcher.launch(rig.specOf(rig.harness.programs.talkative), never);
    await rig.untilLogged(name, 'line 5');
    expect(await rig.launcher.logs(name, 2, never)).toEqual(['line 4', 'line 5']);
    expect(await rig.launcher.logs(name, 100, never)).toEqual(
      [1, 2, 3, 4, 5].map((number) => `line ${number}`),
    );
    expect(await rig.launcher.logs(name, 0, never)).toEqual([]);
  });
}
