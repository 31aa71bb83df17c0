import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ProcessLauncher } from '../../src/launchers/process/process-launcher.js';
import { launcherContract } from '../contracts/launcher-contract.js';
import type { LauncherHarness, Programs } from '../contracts/launcher/rig.js';

function node(script: string): { command: string[] } {
  return { command: [process.execPath, '-e', script] };
}

const WAIT = 'setInterval(() => {}, 1000);';

const programs: Programs = {
  polite: node(WAIT),
  stubborn: node(`process.on('SIGTERM', () => {}); console.log('ready'); ${WAIT}`),
  interruptible: node(
    `process.on('SIGTERM', () => {}); process.on('SIGINT', () => process.exit(0)); console.log('ready'); ${WAIT}`,
  ),
  talkative: node(
    `for (let i = 1; i < 6; i++) console.log(i === 3 ? '\\x1b[31mline 3\\x1b[0m' : 'line ' + i); ${WAIT}`,
  ),
  shortLived: node(`console.log('going'); setTimeout(() => process.exit(7), 300);`),
};

async function open(): Promise<LauncherHarness> {
  const stateDir = await mkdtemp(join(tmpdir(), 'mic-launcher-'));
  const create = (): ProcessLauncher =>
    new ProcessLauncher({ stateDir, owner: 'contract-test', logMaxBytes: 65_536 });
  return {
    programs,
    create,
    async cleanUp() {
      const launcher = create();
      const signal = AbortSignal.timeout(10_000);
      for (const { name } of await launcher.list({}, signal)) await launcher.stop(name, 0, signal);
      await launcher.close();
      await rm(stateDir, { recursive: true, force: true });
    },
  };
}

describe('the process launcher keeps the contract of launchers', () => {
  launcherContract(open, 15_000);
});
