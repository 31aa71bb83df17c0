/**
 * Jest's environment of every suite: a directory for its temporary files, and a look at what it leaves behind. A suite
 * that leaves a process or an open handle fails: the next suite on this worker would run beside it.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { ChildProcess } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestEnvironment as NodeEnvironment } from 'jest-environment-node';

/** What was told to end needs a moment. */
const SETTLE_MS = 3000;
const POLL_MS = 25;
/** Handles that keep Node alive and that a suite opens. */
const HANDLES = [
  'ProcessWrap',
  'TCPServerWrap',
  'PipeWrap',
  'TCPSocketWrap',
  'UDPWrap',
  'FSEventWrap',
  'Timeout',
];

const { spawn } = ChildProcess.prototype;

/**
 * Jest makes an AsyncLocalStorage for each suite and never disables it: until Node 24, every promise of this worker pays for
 * each of them, a fourth of all its time after a hundred suites.
 */
const storages = new Set();
const { run } = AsyncLocalStorage.prototype;
AsyncLocalStorage.prototype.run = function (...args) {
  storages.add(this);
  return run.apply(this, args);
};

/** For service-process.ts: of all suites of this worker. */
const idleServiceHosts = [];

export default class SuiteEnvironment extends NodeEnvironment {
  constructor(config, context) {
    super(config, context);
    this.mayStartProcesses = config.projectConfig.testEnvironmentOptions.mayStartProcesses;
  }

  async setup() {
    await super.setup();
    if (!this.mayStartProcesses) {
      ChildProcess.prototype.spawn = () => {
        throw new Error('A unit test starts no process: see the projects of jest.config.js');
      };
    }
    this.tmpdirOfWorker = process.env.TMPDIR;
    this.directory = await mkdtemp('/tmp/mic-');
    // os.tmpdir() reads the worker's environment, child processes get the suite's.
    process.env.TMPDIR = this.directory;
    this.global.process.env.TMPDIR = this.directory;
    this.global.idleServiceHosts = idleServiceHosts;
    this.handlesBefore = openHandles();
  }

  async teardown() {
    const { directory } = this;
    let left;
    try {
      const end = performance.now() + SETTLE_MS;
      while ((left = await this.leftovers()).length > 0 && performance.now() < end) await sleep(POLL_MS);
      for (const { pid } of left) if (pid !== undefined) process.kill(pid, 'SIGKILL');
    } finally {
      ChildProcess.prototype.spawn = spawn;
      for (const storage of storages) storage.disable();
      storages.clear();
      if (this.tmpdirOfWorker === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = this.tmpdirOfWorker;
      await rm(directory, { recursive: true, force: true, maxRetries: 5 });
      await super.teardown();
    }
    if (left.length > 0)
      throw new Error(`The suite leaves behind: ${left.map(({ what }) => what).join('; ')}`);
  }

  async leftovers() {
    const processes = (await processesWith(this.directory))
      .filter(({ pid }) => !idleServiceHosts.some((host) => host.pid === pid))
      .map(({ pid, command }) => ({ pid, what: `process ${pid} (${command})` }));
    const now = openHandles();
    const handles = HANDLES.filter((type) => now[type] > this.handlesBefore[type]);
    return [
      ...processes,
      ...handles.map((type) => ({ what: `${now[type] - this.handlesBefore[type]} open ${type}` })),
    ];
  }
}

function openHandles() {
  const open = process.getActiveResourcesInfo();
  return Object.fromEntries(HANDLES.map((type) => [type, open.filter((each) => each === type).length]));
}

/** Processes whose environment names the directory: every child of the suite, and what that has forked. */
async function processesWith(directory) {
  const pids = (await readdir('/proc').catch(() => [])).filter((entry) => /^\d+$/.test(entry)).map(Number);
  const found = await Promise.all(
    pids.map(async (pid) => {
      try {
        const environment = await readFile(join('/proc', String(pid), 'environ'), 'utf8');
        if (!environment.includes(directory)) return [];
        const command = await readFile(join('/proc', String(pid), 'cmdline'), 'utf8');
        return [{ pid, command: command.replaceAll('\0', ' ').slice(0, 200) }];
      } catch {
        return []; // gone, or another user's
      }
    }),
  );
  return found.flat();
}
