import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:net';
import { pollUntil } from '../../../src/common/deadline.js';
import {
  BACKEND_LABEL,
  type Launcher,
  type LaunchSpec,
  type ServerInfo,
} from '../../../src/launchers/launcher.js';

/** What a program of the suite does; each launcher says how its kind of server does it. */
export interface Programs {
  /** Ends at SIGTERM. */
  readonly polite: Partial<LaunchSpec>;
  /** Prints `ready`, then ignores SIGTERM. */
  readonly stubborn: Partial<LaunchSpec>;
  /** Prints `ready`, ignores SIGTERM, and ends at SIGINT. */
  readonly interruptible: Partial<LaunchSpec>;
  /** Prints `line 1` to `line 5`, one in colour, then waits. */
  readonly talkative: Partial<LaunchSpec>;
  /** Ends with exit code 7 after 300 ms. */
  readonly shortLived: Partial<LaunchSpec>;
}

export interface LauncherHarness {
  readonly programs: Programs;
  /** A new instance for the same owner, as after a restart of the service. */
  create(): Launcher;
  /** Ends everything that the case launched, whatever its state. */
  cleanUp(): Promise<void>;
}

export const RUN_LABEL = 'model-inference-client.test-run';

/** The signal of a call that is never given up. */
export const never = new AbortController().signal;

export async function freePort(): Promise<number> {
  // Below the range of outgoing connections.
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const server = await listen(port);
    if (!server) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}

export function listen(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => {
      resolve(undefined);
    });
    server.listen(port, '127.0.0.1', () => {
      resolve(server);
    });
  });
}
export function isAlive(pid: number | null): boolean {
  if (pid === null) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** The launchers of the case that runs. */
export class LauncherRig {
  harness!: LauncherHarness;
  launcher!: Launcher;
  /** Labels that no other case has. */
  labels: Record<string, string> = {};
  private launchers: Launcher[] = [];

  /** @param timeoutMs the most time that one case takes, ms */
  constructor(private readonly timeoutMs: number) {}

  async open(open: () => Promise<LauncherHarness>): Promise<void> {
    this.labels = { [BACKEND_LABEL]: 'contract', [RUN_LABEL]: randomUUID() };
    this.launchers = [];
    this.harness = await open();
    this.launcher = this.another();
  }

  async close(): Promise<void> {
    for (const created of this.launchers) await created.close();
    await this.harness.cleanUp();
  }

  case(title: string, run: () => Promise<void>): void {
    it(title, run, this.timeoutMs);
  }

  another(): Launcher {
    const created = this.harness.create();
    this.launchers.push(created);
    return created;
  }

  specOf(program: Partial<LaunchSpec>, changes: Partial<LaunchSpec> = {}): LaunchSpec {
    return {
      name: `mic-test-${randomUUID().slice(0, 8)}`,
      labels: this.labels,
      pull: 'never',
      command: [],
      env: {},
      ports: [],
      bindAddress: '127.0.0.1',
      mounts: [],
      gpus: { kind: 'none' },
      ulimits: [],
      stopGraceSeconds: 5,
      ...program,
      ...changes,
    };
  }

  inTime<T>(probe: () => Promise<T | undefined>): Promise<T> {
    return pollUntil(probe, { intervalMs: 20, signal: AbortSignal.timeout(this.timeoutMs / 2) });
  }

  untilLogged(name: string, text: string): Promise<true> {
    return this.inTime(async () =>
      (await this.launcher.logs(name, 50, never)).includes(text) ? true : undefined,
    );
  }

  untilDead(name: string): Promise<ServerInfo> {
    return this.inTime(async () => {
      const info = await this.launcher.inspect(name, never);
      return info && !info.running ? info : undefined;
    });
  }
}
