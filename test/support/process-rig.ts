import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pollUntil } from '../../src/common/deadline.js';
import { processIdentity } from '../../src/host/process-identity.js';
import type { LaunchSpec } from '../../src/launchers/launcher.js';
import { ProcessLauncher } from '../../src/launchers/process/process-launcher.js';

export const never = new AbortController().signal;
export const onLinux = process.platform === 'linux' ? it : it.skip;
export const WAIT = 'setInterval(() => {}, 1000);';
export const DEAF = `process.on('SIGTERM', () => {}); ${WAIT}`;

export async function pidAlive(pid: number): Promise<boolean> {
  return (await processIdentity(pid)) !== undefined;
}

/** Process launchers on a state directory of their own, and processes that they did not start. */
export class ProcessRig {
  private readonly launchers: ProcessLauncher[] = [];
  private readonly strangers: ChildProcess[] = [];
  readonly launcher: ProcessLauncher;

  private constructor(readonly stateDir: string) {
    this.launcher = this.another();
  }

  static async create(): Promise<ProcessRig> {
    return new ProcessRig(await realpath(await mkdtemp(join(tmpdir(), 'mic-process-'))));
  }

  async dispose(): Promise<void> {
    const last = this.another();
    for (const { name } of await last.list({}, never)) await last.stop(name, 0, never);
    for (const created of this.launchers) await created.close();
    for (const child of this.strangers) child.kill('SIGKILL');
    await rm(this.stateDir, { recursive: true, force: true });
  }

  /** @param withheld variables that its servers do not inherit */
  another(withheld: readonly string[] = []): ProcessLauncher {
    const { stateDir } = this;
    const created = new ProcessLauncher({ stateDir, owner: 'test', logMaxBytes: 65_536, withheld });
    this.launchers.push(created);
    return created;
  }

  specOf(command: readonly string[], changes: Partial<LaunchSpec> = {}): LaunchSpec {
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

  until<T>(probe: () => Promise<T | undefined>): Promise<T> {
    return pollUntil(probe, { intervalMs: 20, signal: AbortSignal.timeout(10_000) });
  }

  /** The pids that a server printed, one a line: `pid 7`. */
  pidsOf(name: string, count: number): Promise<number[]> {
    return this.until(async () => {
      const lines = await this.launcher.logs(name, 50, never);
      const pids = lines.flatMap((line) => /^pid (\d+)$/.exec(line)?.[1] ?? []).map(Number);
      return pids.length === count ? pids : undefined;
    });
  }

  /** A process that the launcher did not start; leader of a group of its own. */
  async stranger(env: Record<string, string> = {}, output: number | 'ignore' = 'ignore'): Promise<number> {
    const child = spawn(process.execPath, ['-e', WAIT], {
      detached: true,
      env: { ...process.env, ...env },
      stdio: ['ignore', output, output],
    });
    this.strangers.push(child);
    await once(child, 'spawn');
    return child.pid ?? 0;
  }

  async writeRecord(record: Record<string, unknown> & { name: string }): Promise<void> {
    await mkdir(join(this.stateDir, 'processes'), { recursive: true });
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
    await writeFile(join(this.stateDir, 'processes', `${record.name}.json`), JSON.stringify(complete));
  }
}
