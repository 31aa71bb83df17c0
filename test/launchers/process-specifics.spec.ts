import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, open, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pollUntil } from '../../src/common/deadline.js';
import {
  CommandMissingError,
  LaunchFailedError,
  type LaunchSpec,
  PortInUseError,
} from '../../src/launchers/launcher.js';
import { isAlive, processIdentity } from '../../src/common/process-identity.js';
import { ExitListeners } from '../../src/launchers/exit-listeners.js';
import { NameLocks } from '../../src/launchers/name-locks.js';
import { ProcessLauncher } from '../../src/launchers/process/process-launcher.js';
import { ProcessServers } from '../../src/launchers/process/process-servers.js';
import { freePorts } from '../support/ports.js';

const never = new AbortController().signal;
const onLinux = process.platform === 'linux' ? it : it.skip;
const WAIT = 'setInterval(() => {}, 1000);';
const DEAF = `process.on('SIGTERM', () => {}); ${WAIT}`;

/** A program that starts `children`, each detached or not, prints their pids, and ignores SIGTERM. */
function family(children: readonly { script: string; detached?: boolean; quiet?: boolean }[]): string[] {
  const script = `
    const { spawn } = require('node:child_process');
    for (const { script, detached, quiet } of ${JSON.stringify(children)}) {
      const child = spawn(process.execPath, ['-e', script], { detached, stdio: quiet ? 'ignore' : 'inherit' });
      console.log('pid ' + child.pid);
    }
    ${DEAF}`;
  return [process.execPath, '-e', script];
}

async function pidAlive(pid: number): Promise<boolean> {
  return (await processIdentity(pid)) !== undefined;
}

describe('the process launcher', () => {
  let stateDir: string;
  let launchers: ProcessLauncher[];
  let strangers: ChildProcess[];
  let launcher: ProcessLauncher;

  function another(): ProcessLauncher {
    const created = new ProcessLauncher({ stateDir, owner: 'test', logMaxBytes: 65_536 });
    launchers.push(created);
    return created;
  }

  function specOf(command: readonly string[], changes: Partial<LaunchSpec> = {}): LaunchSpec {
    return {
      name: `server-${randomUUID().slice(0, 8)}`,
      labels: {},
      pull: 'never',
      command,
      env: {},
      ports: [],
      bindAddress: '127.0.0.1',
      mounts: [],
      gpus: { kind: 'none' },
      ulimits: [],
      stopGraceSeconds: 1,
      ...changes,
    };
  }

  function until<T>(probe: () => Promise<T | undefined>): Promise<T> {
    return pollUntil(probe, { intervalMs: 20, signal: AbortSignal.timeout(10_000) });
  }

  /** The pids that a `family` printed. */
  function pidsOf(name: string, count: number): Promise<number[]> {
    return until(async () => {
      const lines = await launcher.logs(name, 50, never);
      const pids = lines.flatMap((line) => /^pid (\d+)$/.exec(line)?.[1] ?? []).map(Number);
      return pids.length === count ? pids : undefined;
    });
  }

  /** A process that the launcher did not start. */
  async function stranger(
    env: Record<string, string> = {},
    output: number | 'ignore' = 'ignore',
  ): Promise<number> {
    const child = spawn(process.execPath, ['-e', WAIT], {
      detached: true,
      env: { ...process.env, ...env },
      stdio: ['ignore', output, output],
    });
    strangers.push(child);
    await once(child, 'spawn');
    return child.pid ?? 0;
  }

  async function writeRecord(record: Record<string, unknown> & { name: string }): Promise<void> {
    await mkdir(join(stateDir, 'processes'), { recursive: true });
    const complete = {
      version: 1,
      labels: { purpose: 'test' },
      command: ['anything'],
      launchId: randomUUID(),
      launchedAt: new Date().toISOString(),
      logOffset: 0,
      ended: false,
      exitCode: null,
      ...record,
    };
    await writeFile(join(stateDir, 'processes', `${record.name}.json`), JSON.stringify(complete));
  }

  beforeEach(async () => {
    stateDir = await realpath(await mkdtemp(join(tmpdir(), 'mic-process-')));
    launchers = [];
    strangers = [];
    launcher = another();
  });

  afterEach(async () => {
    for (const { name } of await another().list({}, never)) await launcher.stop(name, 0, never);
    for (const created of launchers) await created.close();
    for (const child of strangers) child.kill('SIGKILL');
    await rm(stateDir, { recursive: true, force: true });
  });

  describe('ends all that belongs to a server', () => {
    onLinux('children that ignore SIGTERM, and those that left the group', async () => {
      const spec = specOf(
        family([
          { script: DEAF },
          { script: DEAF, detached: true },
          { script: DEAF, detached: true, quiet: true },
        ]),
      );
      const { pid } = await launcher.launch(spec, never);
      const pids = await pidsOf(spec.name, 3);
      const begin = Date.now();
      await launcher.stop(spec.name, 0.5, never);
      expect(Date.now() - begin).toBeLessThan(3000);
      for (const each of [pid ?? 0, ...pids]) expect(await pidAlive(each)).toBe(false);
    });

    onLinux('what is left when the main process alone was killed, before the next launch', async () => {
      const [port = 0] = await freePorts(1);
      const holder = `require('node:net').createServer().listen(${port}, '127.0.0.1', () => console.log('listening')); ${DEAF}`;
      const spec = specOf(family([{ script: holder }]), { ports: [{ name: 'http', port }] });
      const { pid } = await launcher.launch(spec, never);
      const [child = 0] = await pidsOf(spec.name, 1);
      await until(async () =>
        (await launcher.logs(spec.name, 9, never)).includes('listening') ? true : undefined,
      );
      process.kill(pid ?? 0, 'SIGKILL');
      await until(async () =>
        (await launcher.inspect(spec.name, never))?.running === false ? true : undefined,
      );
      expect(await pidAlive(child)).toBe(true);

      await launcher.check(spec, never);
      // To any other name the port is taken.
      await expect(launcher.check({ ...spec, name: 'other' }, never)).rejects.toBeInstanceOf(PortInUseError);
      const again = await launcher.launch({ ...spec, command: [process.execPath, '-e', WAIT] }, never);
      expect(again.running).toBe(true);
      expect(await pidAlive(child)).toBe(false);
    });

    onLinux('the group of a server that was killed while the service was away', async () => {
      const spec = specOf(family([{ script: DEAF }]));
      const { pid } = await launcher.launch(spec, never);
      const [child = 0] = await pidsOf(spec.name, 1);
      await launcher.close();
      process.kill(pid ?? 0, 'SIGKILL');
      await another().stop(spec.name, 0, never);
      expect(await pidAlive(child)).toBe(false);
    });
  });

  describe('never takes a reused pid for its own', () => {
    it('does not signal who has it now', async () => {
      const pid = await stranger();
      const identity = await processIdentity(pid);
      await writeRecord({ name: 'reused', pid, startTime: '1@another-boot' });
      const info = await launcher.inspect('reused', never);
      expect(info).toMatchObject({ running: false, pid: null });
      await launcher.stop('reused', 0, never);
      expect(identity && (await isAlive(identity))).toBe(true);
      expect(await launcher.inspect('reused', never)).toBeUndefined();
    });

    it('nor at the next launch of that name', async () => {
      const pid = await stranger();
      await writeRecord({ name: 'reused', pid, startTime: '1@another-boot' });
      const spec = specOf([process.execPath, '-e', WAIT], { name: 'reused' });
      const info = await launcher.launch(spec, never);
      expect(info.pid).not.toBe(pid);
      expect(await pidAlive(pid)).toBe(true);
    });
  });

  describe('finds what a crash left without a record', () => {
    const launchId = randomUUID();
    const marker = (name: string): Record<string, string> => ({
      MIC_LAUNCH_OWNER: stateDir,
      MIC_LAUNCH_NAME: name,
      MIC_LAUNCH_ID: launchId,
      MIC_LAUNCH_LABELS: '{"purpose":"test"}',
    });

    onLinux('between the spawn and the record', async () => {
      await writeRecord({ name: 'orphan', launchId, pid: null, startTime: null });
      const pid = await stranger(marker('orphan'));
      const [found] = await another().list({ purpose: 'test' }, never);
      expect(found).toMatchObject({ name: 'orphan', running: true, pid });
    });

    onLinux('with no record at all', async () => {
      const pid = await stranger(marker('orphan'));
      const [found] = await another().list({ purpose: 'test' }, never);
      expect(found).toMatchObject({ name: 'orphan', running: true, pid });
      await launcher.stop('orphan', 1, never);
      expect(await pidAlive(pid)).toBe(false);
    });

    onLinux('with a record that is half a file', async () => {
      const pid = await stranger(marker('orphan'));
      await mkdir(join(stateDir, 'processes'));
      await writeFile(join(stateDir, 'processes', 'orphan.json'), '{"version":1,"na');
      expect(await another().inspect('orphan', never)).toMatchObject({ running: true, pid });
    });

    onLinux('with a program that hides its environment, by its output', async () => {
      await writeRecord({ name: 'orphan', launchId, pid: null, startTime: null });
      await mkdir(join(stateDir, 'logs'));
      const log = await open(join(stateDir, 'logs', 'orphan.log'), 'a');
      const pid = await stranger({}, log.fd);
      await log.close();
      expect(await another().inspect('orphan', never)).toMatchObject({ running: true, pid });
    });

    onLinux("but leaves another state directory's alone", async () => {
      const pid = await stranger({ ...marker('orphan'), MIC_LAUNCH_OWNER: `${stateDir}-other` });
      expect(await another().list({}, never)).toEqual([]);
      await launcher.stop('orphan', 0, never);
      expect(await pidAlive(pid)).toBe(true);
    });
  });

  describe('gives a server its environment', () => {
    async function environmentWith(changes: Partial<LaunchSpec>): Promise<Record<string, string>> {
      const script = 'console.log(JSON.stringify(process.env))';
      const spec = specOf([process.execPath, '-e', script], changes);
      await launcher.launch(spec, never);
      const line = await until(async () => (await launcher.logs(spec.name, 1, never))[0]);
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
      const environment = await environmentWith({ gpus });
      expect(environment).toMatchObject(expected);
      if (gpus.kind === 'all')
        expect(environment.CUDA_VISIBLE_DEVICES).toBe(process.env.CUDA_VISIBLE_DEVICES);
    });
  });

  it.each([['no-such-program-anywhere'], ['/no/such/program'], ['/dev/null'], ['/tmp']])(
    'says that a command is missing: %s',
    async (program) => {
      const spec = specOf([program]);
      await expect(launcher.check(spec, never)).rejects.toBeInstanceOf(CommandMissingError);
      await expect(launcher.launch(spec, never)).rejects.toThrow(/^Command not found: /);
      expect(await launcher.list({}, never)).toEqual([]);
    },
  );

  onLinux('says that a program can not be started, and leaves nothing behind', async () => {
    // One string of an environment may have 128 KiB.
    const spec = specOf([process.execPath], { env: { TOO_LONG: 'x'.repeat(200_000) } });
    const error: unknown = await launcher.launch(spec, never).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(LaunchFailedError);
    expect(String(error)).toContain('E2BIG');
    expect(await launcher.list({}, never)).toEqual([]);
  });

  it('takes no name that could be a path', async () => {
    const spec = specOf([process.execPath], { name: '../escape' });
    await expect(launcher.launch(spec, never)).rejects.toBeInstanceOf(LaunchFailedError);
    await launcher.stop('../escape', 0, never);
    expect(await launcher.inspect('../escape', never)).toBeUndefined();
  });

  it('a signal that ended a server is its exit code and its reason', async () => {
    const spec = specOf([process.execPath, '-e', WAIT]);
    const exit = new Promise((resolve) => launcher.onExit(resolve));
    const { id, pid } = await launcher.launch(spec, never);
    process.kill(pid ?? 0, 'SIGSEGV');
    expect(await exit).toEqual({ id, name: spec.name, exitCode: 139, reason: 'ended by SIGSEGV' });
    // In the record as well, for the next run of the service.
    const path = join(stateDir, 'processes', `${spec.name}.json`);
    await until(async () => ((await readFile(path, 'utf8')).includes('"ended": true') ? true : undefined));
    expect(await another().inspect(spec.name, never)).toMatchObject({ running: false, exitCode: 139 });
  });

  it('knows the exit code also when it is asked with a record read before the end', async () => {
    const locks = new NameLocks();
    const servers = new ProcessServers(
      { stateDir, owner: 'test', logMaxBytes: 65_536 },
      locks,
      new ExitListeners(),
    );
    const spec = specOf([process.execPath, '-e', 'setTimeout(() => process.exit(7), 200)']);
    await servers.start(spec);
    const early = await servers.records.read(spec.name);
    if (!early) throw new Error('no record');
    await until(async () => ((await servers.records.read(spec.name))?.ended === true ? true : undefined));
    await locks.run(spec.name, never, () => Promise.resolve());
    expect(early.ended).toBe(false);
    expect(await servers.infoOf(early)).toMatchObject({ running: false, exitCode: 7 });
    await servers.close();
  });

  it('begins a log anew when it has grown beyond its limit, and reads just the last launch', async () => {
    const spec = specOf([process.execPath, '-e', `console.log('x'.repeat(70000)); console.log('end')`]);
    const path = join(stateDir, 'logs', `${spec.name}.log`);
    const run = async (command: readonly string[]): Promise<void> => {
      await launcher.launch({ ...spec, command }, never);
      await until(async () => ((await launcher.logs(spec.name, 1, never))[0] === 'end' ? true : undefined));
      await until(async () =>
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
