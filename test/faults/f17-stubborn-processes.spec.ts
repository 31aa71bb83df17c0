import { PortInUseError } from '../../src/launchers/launcher.js';
import { endGroup } from '../../src/launchers/process/end-group.js';
import { ProcessGroup } from '../../src/launchers/process/process-group.js';
import type { ProcessLauncher } from '../../src/launchers/process/process-launcher.js';
import { processIdentity } from '../../src/host/process-identity.js';
import { freePorts } from '../support/ports.js';
import { DEAF, never, onLinux, pidAlive, ProcessRig, WAIT } from '../support/process-rig.js';

/** A program that runs `setUp`, with `tell(child)` to print the pid of a child, and ignores SIGTERM. */
function deaf(setUp: string): string[] {
  const script = `
    const { spawn } = require('node:child_process');
    const node = (code, options) => spawn(process.execPath, ['-e', code], { stdio: 'inherit', ...options });
    const tell = ({ pid }) => console.log('pid ' + pid);
    ${setUp}
    ${DEAF}`;
  return [process.execPath, '-e', script];
}

const quoted = JSON.stringify;

let rig: ProcessRig;
let launcher: ProcessLauncher;

beforeEach(async () => {
  rig = await ProcessRig.create();
  ({ launcher } = rig);
});

afterEach(() => rig.dispose());

/** Launches it, and stops it with half a second of grace: neither it nor what it printed is there any more. */
async function expectAllGone(command: readonly string[], count: number): Promise<void> {
  const spec = rig.specOf(command);
  const { pid } = await launcher.launch(spec, never);
  const pids = await rig.pidsOf(spec.name, count);
  for (const each of pids) expect(await pidAlive(each)).toBe(true);
  const begin = performance.now();
  await launcher.stop(spec.name, 0.5, never);
  expect(performance.now() - begin).toBeLessThan(3000);
  for (const each of [pid ?? 0, ...pids]) expect(await pidAlive(each)).toBe(false);
  expect(await launcher.inspect(spec.name, never)).toBeUndefined();
}

describe('F17: a server ignores SIGTERM, and at the deadline all of it is gone', () => {
  onLinux('its children, in its group or in sessions of their own', async () => {
    await expectAllGone(
      deaf(`
        tell(node(${quoted(DEAF)}));
        tell(node(${quoted(DEAF)}, { detached: true }));
        tell(node(${quoted(DEAF)}, { detached: true, stdio: 'ignore' }));`),
      3,
    );
  });

  onLinux('a daemon: forked twice, in a session of its own, without its output', async () => {
    const daemon = `
      const { spawn } = require('node:child_process');
      const child = spawn(process.execPath, ['-e', ${quoted(DEAF)}], { detached: true, stdio: 'ignore' });
      console.log('pid ' + child.pid);
      process.exit();`;
    await expectAllGone(deaf(`node(${quoted(daemon)}, { detached: true });`), 1);
  });

  onLinux('a child that hides whose it is: another session, another environment, no output', async () => {
    const hidden = `{ detached: true, stdio: 'ignore', env: {} }`;
    await expectAllGone(deaf(`tell(node(${quoted(DEAF)}, ${hidden}));`), 1);
  });

  onLinux('a child that starts another one when it is told to end', async () => {
    const heir = `
      const { spawn } = require('node:child_process');
      process.on('SIGTERM', () => {
        const child = spawn(process.execPath, ['-e', ${quoted(DEAF)}], { detached: true, stdio: 'inherit' });
        require('node:fs').writeSync(1, 'pid ' + child.pid + '\\n');
        process.exit();
      });
      console.log('ready');
      ${WAIT}`;
    const spec = rig.specOf(deaf(`node(${quoted(heir)});`));
    await launcher.launch(spec, never);
    await rig.until(async () =>
      (await launcher.logs(spec.name, 9, never)).includes('ready') ? true : undefined,
    );
    const stopped = launcher.stop(spec.name, 0.5, never);
    const [child = 0] = await rig.pidsOf(spec.name, 1);
    await stopped;
    expect(await pidAlive(child)).toBe(false);
  });

  onLinux('what is left when its main process alone was killed, before the next launch', async () => {
    const [port = 0] = await freePorts(1);
    const holder = `require('node:net').createServer().listen(${port}, '127.0.0.1', () => console.log('listening')); ${DEAF}`;
    const spec = rig.specOf(deaf(`tell(node(${quoted(holder)}));`), { ports: [{ name: 'http', port }] });
    const { pid } = await launcher.launch(spec, never);
    const [child = 0] = await rig.pidsOf(spec.name, 1);
    await rig.until(async () =>
      (await launcher.logs(spec.name, 9, never)).includes('listening') ? true : undefined,
    );
    process.kill(pid ?? 0, 'SIGKILL');
    await rig.until(async () =>
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

  onLinux('the group of one that was killed while the service was away', async () => {
    const spec = rig.specOf(deaf(`tell(node(${quoted(DEAF)}));`));
    const { pid } = await launcher.launch(spec, never);
    const [child = 0] = await rig.pidsOf(spec.name, 1);
    await launcher.close();
    process.kill(pid ?? 0, 'SIGKILL');
    await rig.another().stop(spec.name, 0, never);
    expect(await pidAlive(child)).toBe(false);
  });
});

describe('F17: a process outlives SIGKILL', () => {
  /** Its signals go nowhere, as with a process that hangs in a driver. */
  class Immune extends ProcessGroup {
    override signal(): void {
      // Nothing arrives.
    }
  }

  it('the stop fails at its deadline, and names the pid', async () => {
    const pid = await rig.stranger();
    const leader = (await processIdentity(pid)) ?? null;
    const group = new Immune({ owner: rig.stateDir, name: 'stuck', leader, logPath: '/nowhere' });
    const began = performance.now();
    const failure: unknown = await endGroup('stuck', group, {
      politeSignal: 'SIGTERM',
      ...{ graceMs: 100, killTimeoutMs: 200 },
      signal: never,
    }).catch((error: unknown) => error);
    expect(performance.now() - began).toBeLessThan(2000);
    expect(failure).toMatchObject({ code: 'STOP_FAILED', facts: { name: 'stuck', pids: [pid] } });
    expect((failure as Error).message).toMatch(
      new RegExp(`^stuck could not be stopped: process ${pid} still there`),
    );
  });
});
