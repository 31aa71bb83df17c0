import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isAlive, type ProcessIdentity, processIdentity } from '../../src/host/process-identity.js';
import { never, pidAlive, ProcessRig, WAIT } from '../support/process-rig.js';
import { TestService } from '../support/service.js';

let rig: ProcessRig;

beforeEach(async () => {
  rig = await ProcessRig.create();
});

afterEach(() => rig.dispose());

async function identityOf(pid: number): Promise<ProcessIdentity> {
  const identity = await processIdentity(pid);
  if (!identity) throw new Error(`no process ${pid}`);
  return identity;
}

describe("F18: a server's pid belongs to a stranger by now", () => {
  it('who is neither adopted nor signalled', async () => {
    const stranger = await identityOf(await rig.stranger());
    await rig.writeRecord({ name: 'reused', pid: stranger.pid, startTime: '1@another-boot' });
    expect(await rig.launcher.inspect('reused', never)).toMatchObject({ running: false, pid: null });
    await rig.launcher.stop('reused', 0, never);
    expect(await isAlive(stranger)).toBe(true);
    expect(await rig.launcher.inspect('reused', never)).toBeUndefined();
  });

  it('nor at the next launch of that name', async () => {
    const pid = await rig.stranger();
    await rig.writeRecord({ name: 'reused', pid, startTime: '1@another-boot' });
    const spec = rig.specOf([process.execPath, '-e', WAIT], { name: 'reused' });
    const info = await rig.launcher.launch(spec, never);
    expect(info.pid).not.toBe(pid);
    expect(await pidAlive(pid)).toBe(true);
  });

  it('who started at the same tick after another boot of the host: not adopted either', async () => {
    const stranger = await identityOf(await rig.stranger());
    const [ticks = ''] = stranger.startTime.split('@');
    await rig.writeRecord({ name: 'reused', pid: stranger.pid, startTime: `${ticks}@another-boot` });
    expect(await rig.launcher.inspect('reused', never)).toMatchObject({ running: false });
    await rig.launcher.stop('reused', 0, never);
    expect(await isAlive(stranger)).toBe(true);
  });

  it('the whole service: it launches a server of its own, stops that, and leaves the stranger alone', async () => {
    const stranger = await identityOf(await rig.stranger());
    const service = await TestService.create({ models: { MAM: { load_seconds: 0.1 } } });
    try {
      await service.boot();
      await service.start('MAM', 0);
      await service.untilRunning('MAM@0');
      const [pid = 0] = await service.serverPids();
      await service.end('SIGKILL');
      process.kill(-pid, 'SIGKILL');
      await service.until(async () => !(await pidAlive(pid)));
      const file = join(service.stateDir, 'processes/triton_server.json');
      const record = JSON.parse(await readFile(file, 'utf8')) as { pid: number };
      await writeFile(file, JSON.stringify({ ...record, pid: stranger.pid }));

      await service.boot();
      await service.untilRunning('MAM@0');
      expect(await service.serverPids()).not.toContain(stranger.pid);
      expect((await service.stop('MAM', 0)).status).toBe(200);
      expect(await isAlive(stranger)).toBe(true);
    } finally {
      await service.dispose();
    }
  });
});
