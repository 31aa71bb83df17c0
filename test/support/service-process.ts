import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Tests and benchmarks run from the top of the repository. */
const ROOT = process.cwd();
const HOST = join(ROOT, 'dist/service-host.cjs');
const LOADER = join(ROOT, 'test/support/start-host.mjs');
/** Of V8: a host runs for seconds, and what it optimizes meanwhile costs more than it brings. */
const FLAGS = JSON.parse(readFileSync(join(ROOT, 'test/support/host-flags.json'), 'utf8')) as string[];
/** A service that takes longer to end is killed, as an operator would. */
const CLOSE_LIMIT_MS = 5000;

/** On stdout after the last line of a service: the next line is another service's. */
const END_OF_OUTPUT = '\u0004\n';

/** To a service host. */
type HostCommand =
  { kind: 'boot'; configFile: string; directory: string } | { kind: 'close'; endOfOutput: string };
/** From a service host: one for each command. */
type HostAnswer = { ok: true } | { ok: false; message: string };

/** Hosts that have loaded the service and run none: of all suites of this worker of Jest (see suite-environment.mjs). */
const idle = (globalThis as { idleServiceHosts?: ChildProcess[] }).idleServiceHosts ?? [];

export interface ProcessSettings {
  readonly configFile: string;
  readonly env: Readonly<Record<string, string>>;
  /** Takes what the service writes to stdout and stderr. */
  readonly onOutput: (text: string) => void;
}

/** A process that runs a service: one of its own, or a host that serves one test after another. */
export class ServiceProcess {
  private onOutput: (text: string) => void = () => undefined;
  private onEndOfOutput: () => void = () => undefined;

  private constructor(
    readonly child: ChildProcess,
    private readonly isHost: boolean,
  ) {
    const take = (chunk: Buffer) => {
      this.take(chunk.toString());
    };
    child.stdout?.on('data', take);
    child.stderr?.on('data', take);
  }

  /**
   * The service as an operator runs it.
   * @param wrapper a program that runs the service in its own place, by exec
   */
  static start(settings: ProcessSettings, wrapper: readonly string[]): ServiceProcess {
    const command = [...wrapper, process.execPath, '--max-semi-space-size=4', join(ROOT, 'dist/server.js')];
    const child = spawn(command[0] ?? '', command.slice(1), {
      env: { ...process.env, ...settings.env, MIC_CONFIG: settings.configFile },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const started = new ServiceProcess(child, false);
    started.onOutput = settings.onOutput;
    return started;
  }

  /** The service in a process that has loaded it already. Resolves when it listens. */
  static async host(settings: ProcessSettings): Promise<ServiceProcess> {
    const host = new ServiceProcess(ServiceProcess.idleHost() ?? ServiceProcess.spawnHost(), true);
    host.onOutput = settings.onOutput;
    const { configFile } = settings;
    const answer = await host.ask({ kind: 'boot', configFile, directory: tmpdir() });
    if (answer.ok) return host;
    await host.kill('SIGKILL');
    throw new Error(`the service did not start: ${answer.message}`);
  }

  private static idleHost(): ChildProcess | undefined {
    const child = idle.pop();
    if (child?.exitCode !== null || child.signalCode !== null) return undefined;
    for (const handle of handlesOf(child)) handle.ref();
    return child;
  }

  private static spawnHost(): ChildProcess {
    if (!existsSync(HOST)) throw new Error(`${HOST} is missing: npm run build:suites`);
    return spawn(process.execPath, [...FLAGS, LOADER], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** @returns the exit code; null when a signal ended it */
  async kill(signal: NodeJS.Signals): Promise<number | null> {
    if (!this.hasEnded) {
      const ended = once(this.child, 'exit');
      this.child.kill(signal);
      await ended;
    }
    return this.child.exitCode;
  }

  /** Ends the service. A host stays for the next test where the service ended in order. */
  async dispose(): Promise<void> {
    if (!this.isHost || this.hasEnded || !(await this.closes())) {
      await this.kill('SIGKILL');
      return;
    }
    const { child } = this;
    for (const stream of [child.stdout, child.stderr]) stream?.removeAllListeners('data');
    // It ends when the worker does.
    for (const handle of handlesOf(child)) handle.unref();
    idle.push(child);
  }

  private async closes(): Promise<boolean> {
    const written = new Promise<void>((resolve) => (this.onEndOfOutput = resolve));
    const closed = this.ask({ kind: 'close', endOfOutput: END_OF_OUTPUT }).then(async ({ ok }) => {
      if (ok) await written;
      return ok;
    });
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<false>((resolve) => (timer = setTimeout(resolve, CLOSE_LIMIT_MS, false)));
    const hasClosed = await Promise.race([closed, limit]);
    clearTimeout(timer);
    return hasClosed;
  }

  private async ask(command: HostCommand): Promise<HostAnswer> {
    const { child } = this;
    const ended = new AbortController();
    const onExit = () => {
      ended.abort();
    };
    child.once('exit', onExit);
    try {
      const answered = once(child, 'message', { signal: ended.signal });
      child.send(command);
      const [answer] = (await answered) as [HostAnswer];
      return answer;
    } catch {
      return { ok: false, message: `the process ended with ${child.exitCode ?? child.signalCode}` };
    } finally {
      child.off('exit', onExit);
    }
  }

  private take(text: string): void {
    if (!text.includes(END_OF_OUTPUT)) {
      this.onOutput(text);
      return;
    }
    this.onOutput(text.replace(END_OF_OUTPUT, ''));
    this.onOutput = () => undefined;
    this.onEndOfOutput();
  }
}

/** What keeps a worker of Jest alive of a host. */
function handlesOf(child: ChildProcess): readonly { ref(): void; unref(): void }[] {
  return [child, child.channel, child.stdout as Socket | null, child.stderr as Socket | null].filter(
    (handle) => handle !== null && handle !== undefined,
  );
}
