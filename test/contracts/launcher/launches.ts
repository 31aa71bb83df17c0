import {
  BACKEND_LABEL,
  NameTakenError,
  OWNER_LABEL,
  PortInUseError,
} from '../../../src/launchers/launcher.js';
import { freePort, isAlive, listen, never, type LauncherRig } from './rig.js';

/** Launches, of which one name has one, and their checks. */
export function launchCases(rig: LauncherRig): void {
  rig.case('launches, and tells what runs', async () => {
    const spec = rig.specOf(rig.harness.programs.polite);
    const before = Date.now();
    const info = await rig.launcher.launch(spec, never);
    expect(info).toMatchObject({ name: spec.name, running: true, exitCode: null });
    expect(info.labels).toMatchObject(rig.labels);
    expect(info.labels[OWNER_LABEL]).toEqual(expect.any(String));
    expect(isAlive(info.pid)).toBe(true);
    expect(Math.abs((info.startedAt?.getTime() ?? 0) - before)).toBeLessThan(10_000);
    expect(await rig.launcher.inspect(spec.name, never)).toEqual(info);
  });

  rig.case('launching twice is launching once', async () => {
    const port = await freePort();
    const spec = rig.specOf(rig.harness.programs.polite, { ports: [{ name: 'http', port }] });
    const first = await rig.launcher.launch(spec, never);
    await rig.launcher.check(spec, never);
    const second = await rig.launcher.launch(spec, never);
    expect(second).toEqual(first);
  });

  rig.case('two launches of one name at once start one', async () => {
    const spec = rig.specOf(rig.harness.programs.polite);
    const infos = await Promise.all([1, 2, 3].map(() => rig.launcher.launch(spec, never)));
    expect(new Set(infos.map((info) => info.id)).size).toBe(1);
    expect(await rig.launcher.list(rig.labels, never)).toHaveLength(1);
  });

  rig.case('replaces a dead one of the same name', async () => {
    const spec = rig.specOf(rig.harness.programs.shortLived);
    const first = await rig.launcher.launch(spec, never);
    await rig.untilDead(spec.name);
    const second = await rig.launcher.launch({ ...spec, ...rig.harness.programs.polite }, never);
    expect(second.id).not.toBe(first.id);
    expect(second.running).toBe(true);
    expect(await rig.launcher.list(rig.labels, never)).toEqual([second]);
    expect(await rig.launcher.logs(spec.name, 10, never)).not.toContain('going');
  });

  rig.case('refuses a name that a running server with other labels has', async () => {
    const spec = rig.specOf(rig.harness.programs.polite);
    const first = await rig.launcher.launch(spec, never);
    const other = { ...spec, labels: { ...rig.labels, [BACKEND_LABEL]: 'another' } };
    await expect(rig.launcher.check(other, never)).rejects.toBeInstanceOf(NameTakenError);
    await expect(rig.launcher.launch(other, never)).rejects.toBeInstanceOf(NameTakenError);
    expect(await rig.launcher.inspect(spec.name, never)).toEqual(first);
  });

  rig.case('refuses a port that is taken, names it and who has it', async () => {
    const port = await freePort();
    const holder = await listen(port);
    try {
      const spec = rig.specOf(rig.harness.programs.polite, { ports: [{ name: 'http', port }] });
      const message = new RegExp(`^Port ${port} already in use by process ${process.pid} `);
      for (const attempt of [rig.launcher.check(spec, never), rig.launcher.launch(spec, never)]) {
        const error: unknown = await attempt.catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(PortInUseError);
        expect(String(error)).toContain(`Port ${port}`);
        expect((error as Error).message).toMatch(message);
      }
      expect(await rig.launcher.list(rig.labels, never)).toEqual([]);
    } finally {
      holder?.close();
    }
  });

  rig.case('a check changes nothing', async () => {
    await rig.launcher.check(
      rig.specOf(rig.harness.programs.polite, { ports: [{ name: 'http', port: await freePort() }] }),
      never,
    );
    expect(await rig.launcher.list(rig.labels, never)).toEqual([]);
  });
}
