import { randomUUID } from 'node:crypto';
import { mkdir, open, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ExitListeners } from '../../src/launchers/exit-listeners.js';
import { CommandMissingError, LaunchFailedError, type LaunchSpec } from '../../src/launchers/launcher.js';
import { NameLocks } from '../../src/launchers/name-locks.js';
import type { ProcessLauncher } from '../../src/launchers/process/process-launcher.js';
import { ProcessServers } from '../../src/launchers/process/process-servers.js';
import { never, onLinux, pidAlive, ProcessRig, WAIT } from '../support/process-rig.js';

describe('the process launcher', () => {
  let rig: ProcessRig;
  let stateDir: string;
  let launcher: ProcessLauncher;

  beforeEach(async () => {
    rig = await ProcessRig.create();
    ({ stateDir, launcher } = rig);
  });

  afterEach(() => rig.dispose());

  describe('finds what a crash left without a record', () => {
    const launchId = randomUUID();
    const marker = (name: string): Record<string, string> => ({
      MIC_LAUNCH_OWNER: stateDir,
      MIC_LAUNCH_NAME: name,
      MIC_LAUNCH_ID: launchId,
      MIC_LAUNCH_LABELS: '{"purpose":"test"}',
    });

    onLinux('between the spawn and the record', async () => {
      await rig.writeRecord({ name: 'orphan', launchId, pid: null, startTime: null });
      const pid = await rig.stranger(marker('orphan'));
      const [found] = await rig.another().list({ purpose: 'test' }, never);
      expect(found).toMatchObject({ name: 'orphan', running: true, pid });
    });

    onLinux('with no record at all', async () => {
      const pid = await rig.stranger(marker('orphan'));
      const [found] = await rig.another().list({ purpose: 'test' }, never);
      expect(found).toMatchObject({ name: 'orphan', running: true, pid });
      await launcher.stop('orphan', 1, never);
      expect(await pidAlive(pid)).toBe(false);
    });

    onLinux('with a record that is half a file', async () => {
      const pid = await rig.stranger(marker('orphan'));
      await mkdir(join(stateDir, 'processes'));
      await writeFile(join(stateDir, 'processes', 'orphan.json'), '{"version":1,"na');
      expect(await rig.another().inspect('orphan', never)).toMatchObject({ running: true, pid });
    });

    onLinux('with a program that hides its environment, by its output', async () => {
      await rig.writeRecord({ name: 'orphan', launchId, pid: null, startTime: null });
      await mkdir(join(stateDir, 'logs'));
      const log = await open(join(stateDir, 'logs', 'orphan.log'), 'a');
      const pid = await rig.stranger({}, log.fd);
      await log.close();
      expect(await rig.another().inspect('orphan', never)).toMatchObject({ running: true, pid });
    });

    onLinux("but leaves another state directory's alone", async () => {
      const pid = await rig.stranger({ ...marker('orphan'), MIC_LAUNCH_OWNER: `${stateDir}-other` });
      expect(await rig.another().list({}, never)).toEqual([]);
      await launcher.stop('orphan', 0, never);
      expect(await pidAlive(pid)).toBe(true);
    });
  });

  describe('gives a server its environment', () => {
    async function environmentWith(changes: Partial<LaunchSpec>): Promise<Record<string, string>> {
      const script = 'console.log(JSON.stringify(process.env))';
      const spec = rig.specOf([process.execPath, '-e', script], changes);
      await launcher.launch(spec, never);
      const line = await rig.until(async () => (await launcher.logs(spec.name, 1, never))[0]);
      return JSON.parse(line) as Record<string, string>;
    }

    it("the service's, without what configures the service, and the spec's over it", async () => {
      process.env.MIC_SECRET = 'mine';
      process.env.TEST_INHERITED = 'yes';
      process.env.TEST_REPLACED = 'old';
      try {
        const environment = await environmentWith({ env: { TEST_REPLACED: 'new' } });
        expect(environment).toMatchObject({ TEST_INHERITED: 'yes', TEST_REPLACED: 'new' });
        expect(environment).not.toHaveProperty('MIC_SECRET');
      } finally {
        delete process.env.MIC_SECRET;
        delete process.env.TEST_INHERITED;
        delete process.env.TEST_REPLACED;
      }
    });

    it.each([
      [{ kind: 'none' } as const, { CUDA_VISIBLE_DEVICES: '-1' }],
      [
        { kind: 'devices', ids: ['0', 'GPU-1'] } as const,
        { CUDA_VISIBLE_DEVICES: '0,GPU-1', CUDA_DEVICE_ORDER: 'PCI_BUS_ID' },
      ],
      [{ kind: 'all' } as const, { CUDA_DEVICE_ORDER: 'PCI_BUS_ID' }],
    ])('GPUs: %j', async (gpus, expected) => {
      process.env.CUDA_VISIBLE_DEVICES = '7';
      try {
        const environment = await environmentWith({ gpus });
        expect(environment).toMatchObject(expected);
        if (gpus.kind === 'all') expect(environment).not.toHaveProperty('CUDA_VISIBLE_DEVICES');
      } finally {
        delete process.env.CUDA_VISIBLE_DEVICES;
      }
    });

    it('nothing of what decides about GPUs, speaks to systemd, or is withheld, but what the spec says', async () => {
      const own = {
        CUDA_HOME: '/cuda',
        NVIDIA_VISIBLE_DEVICES: '7',
        HIP_VISIBLE_DEVICES: '7',
        ROCR_VISIBLE_DEVICES: '7',
        ONEAPI_DEVICE_SELECTOR: 'x',
        NOTIFY_SOCKET: '/n',
        TEST_WITHHELD: 'x',
        TEST_SAID: 'inherited',
      };
      Object.assign(process.env, own);
      try {
        const environment = await environmentWith({
          env: { CUDA_HOME: '/said', TEST_SAID: 'said' },
          withheld: ['TEST_WITHHELD', 'TEST_SAID'],
        });
        expect(environment).toMatchObject({ CUDA_HOME: '/said', TEST_SAID: 'said' });
        const inherited = Object.keys(own).filter((name) => !['CUDA_HOME', 'TEST_SAID'].includes(name));
        expect(inherited.filter((name) => name in environment)).toEqual([]);
      } finally {
        for (const name of Object.keys(own)) Reflect.deleteProperty(process.env, name);
      }
    });

    it('nothing that another backend decides, but what the spec says', async () => {
      const own = { TEST_OF_ANOTHER: 'x', TEST_OF_ANOTHER_SAID: 'inherited' };
      Object.assign(process.env, own);
      launcher = rig.another(Object.keys(own));
      try {
        const environment = await environmentWith({ env: { TEST_OF_ANOTHER_SAID: 'said' } });
        expect(environment).toMatchObject({ TEST_OF_ANOTHER_SAID: 'said' });
        expect(environment).not.toHaveProperty('TEST_OF_ANOTHER');
      } finally {
        for (const name of Object.keys(own)) Reflect.deleteProperty(process.env, name);
      }
    });
  });

  it.each([['no-such-program-anywhere'], ['/no/such/program'], ['/dev/null'], ['/tmp']])(
    'says that a command is missing: %s',
    async (program) => {
      const spec = rig.specOf([program]);
      await expect(launcher.check(spec, never)).rejects.toBeInstanceOf(CommandMissingError);
      await expect(launcher.launch(spec, never)).rejects.toThrow(/^Command not found: /);
      expect(await launcher.list({}, never)).toEqual([]);
    },
  );

  onLinux('says that a program can not be started, and leaves nothing behind', async () => {
    // One string of an environment may have 128 KiB.
    const spec = rig.specOf([process.execPath], { env: { TOO_LONG: 'x'.repeat(200_000) } });
    const error: unknown = await launcher.launch(spec, never).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(LaunchFailedError);
    expect(String(error)).toContain('E2BIG');
    expect(await launcher.list({}, never)).toEqual([]);
  });

  it('takes no name that could be a path', async () => {
    const spec = rig.specOf([process.execPath], { name: '../escape' });
    await expect(launcher.launch(spec, never)).rejects.toBeInstanceOf(LaunchFailedError);
    await launcher.stop('../escape', 0, never);
    expect(await launcher.inspect('../escape', never)).toBeUndefined();
  });

  it('a signal that ended a server is its exit code and its reason', async () => {
    const spec = rig.specOf([process.execPath, '-e', WAIT]);
    const exit = new Promise((resolve) => launcher.onExit(resolve));
    const { id, pid } = await launcher.launch(spec, never);
    process.kill(pid ?? 0, 'SIGSEGV');
    expect(await exit).toEqual({ id, name: spec.name, exitCode: 139, reason: 'ended by SIGSEGV' });
    // In the record as well, for the next run of the service.
    const path = join(stateDir, 'processes', `${spec.name}.json`);
    await rig.until(async () =>
      (await readFile(path, 'utf8')).includes('"ended": true') ? true : undefined,
    );
    expect(await rig.another().inspect(spec.name, never)).toMatchObject({ running: false, exitCode: 139 });
  });

  it('knows the exit code also when it is asked with a record read before the end', async () => {
    const locks = new NameLocks();
    const servers = new ProcessServers(
      { stateDir, owner: 'test', logMaxBytes: 65_536, withheld: [] },
      locks,
      new ExitListeners(),
    );
    const spec = rig.specOf([process.execPath, '-e', 'setTimeout(() => process.exit(7), 200)']);
    await servers.start(spec);
    const early = await servers.records.read(spec.name);
    if (!early) throw new Error('no record');
    await rig.until(async () => ((await servers.records.read(spec.name))?.ended === true ? true : undefined));
    await locks.run(spec.name, never, () => Promise.resolve());
    expect(early.ended).toBe(false);
    expect(await servers.infoOf(early)).toMatchObject({ running: false, exitCode: 7 });
    await servers.close();
  });

  it('begins a log anew when it has grown beyond its limit, and reads just the last launch', async () => {
    const spec = rig.specOf([process.execPath, '-e', `console.log('x'.repeat(70000)); console.log('end')`]);
    const path = join(stateDir, 'logs', `${spec.name}.log`);
    const run = async (command: readonly string[]): Promise<void> => {
      await launcher.launch({ ...spec, command }, never);
      await rig.until(async () =>
        (await launcher.logs(spec.name, 1, never))[0] === 'end' ? true : undefined,
      );
      await rig.until(async () =>
        (await launcher.inspect(spec.name, never))?.running === false ? true : undefined,
      );
    };
    const short = [process.execPath, '-e', `console.log('end')`];
    await run(short);
    await run(short);
    expect((await stat(path)).size).toBe(8);
    expect(await launcher.logs(spec.name, 10, never)).toEqual(['end']);
    await run(spec.command);
    expect((await launcher.logs(spec.name, 2, never))[0]?.length).toBeLessThan(5000);
    await run(short);
    expect((await stat(path)).size).toBe(4);
  });
});
