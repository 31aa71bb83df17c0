import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import { pollUntil } from '../../src/common/deadline.js';
import {
  BACKEND_LABEL,
  type Launcher,
  type LaunchSpec,
  NameTakenError,
  OWNER_LABEL,
  PortInUseError,
  type ServerExit,
  type ServerInfo,
} from '../../src/launchers/launcher.js';

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

const RUN_LABEL = 'model-inference-client.test-run';

const never = new AbortController().signal;

async function freePort(): Promise<number> {
  // Below the range of outgoing connections.
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const server = await listen(port);
    if (!server) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}

function listen(port: number): Promise<Server | undefined> {
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

/** The cases every launcher passes. `open` is called before each one. */
export function launcherContract(open: () => Promise<LauncherHarness>, timeoutMs: number): void {
  let harness: LauncherHarness;
  let launcher: Launcher;
  let labels: Record<string, string>;
  let launchers: Launcher[];

  function another(): Launcher {
    const created = harness.create();
    launchers.push(created);
    return created;
  }

  function specOf(program: Partial<LaunchSpec>, changes: Partial<LaunchSpec> = {}): LaunchSpec {
    return {
      name: `mic-test-${randomUUID().slice(0, 8)}`,
      labels,
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

  function inTime<T>(probe: () => Promise<T | undefined>): Promise<T> {
    return pollUntil(probe, { intervalMs: 20, signal: AbortSignal.timeout(timeoutMs / 2) });
  }

  function untilLogged(name: string, text: string): Promise<true> {
    return inTime(async () => ((await launcher.logs(name, 50, never)).includes(text) ? true : undefined));
  }

  function untilDead(name: string): Promise<ServerInfo> {
    return inTime(async () => {
      const info = await launcher.inspect(name, never);
      return info && !info.running ? info : undefined;
    });
  }

  function isAlive(pid: number | null): boolean {
    if (pid === null) return false;
    try {
      process.kill(pid, 0);
      return true;
    } catch {
      return false;
    }
  }

  beforeAll(() => {
    // One case has a listener that fails, which is logged.
    Logger.overrideLogger(false);
  });

  beforeEach(async () => {
    labels = { [BACKEND_LABEL]: 'contract', [RUN_LABEL]: randomUUID() };
    launchers = [];
    harness = await open();
    launcher = another();
  }, timeoutMs);

  afterEach(async () => {
    for (const created of launchers) await created.close();
    await harness.cleanUp();
  }, timeoutMs);

  function contractCase(title: string, run: () => Promise<void>): void {
    it(title, run, timeoutMs);
  }

  contractCase('launches, and tells what runs', async () => {
    const spec = specOf(harness.programs.polite);
    const before = Date.now();
    const info = await launcher.launch(spec, never);
    expect(info).toMatchObject({ name: spec.name, running: true, exitCode: null });
    expect(info.labels).toMatchObject(labels);
    expect(info.labels[OWNER_LABEL]).toEqual(expect.any(String));
    expect(isAlive(info.pid)).toBe(true);
    expect(Math.abs((info.startedAt?.getTime() ?? 0) - before)).toBeLessThan(10_000);
    expect(await launcher.inspect(spec.name, never)).toEqual(info);
  });

  contractCase('knows nothing of names that were never launched', async () => {
    expect(await launcher.inspect(`mic-test-${randomUUID()}`, never)).toBeUndefined();
    expect(await launcher.inspect('../../etc/passwd', never)).toBeUndefined();
    expect(await launcher.logs(`mic-test-${randomUUID()}`, 10, never)).toEqual([]);
    expect(await launcher.list(labels, never)).toEqual([]);
  });

  contractCase('lists by labels, the dead included', async () => {
    const alive = await launcher.launch(specOf(harness.programs.polite), never);
    const dead = await launcher.launch(specOf(harness.programs.shortLived), never);
    const other = { ...labels, [RUN_LABEL]: randomUUID() };
    const elsewhere = await launcher.launch(specOf(harness.programs.polite, { labels: other }), never);
    await untilDead(dead.name);
    const listed = await launcher.list(labels, never);
    expect(listed.map((info) => [info.name, info.running]).sort()).toEqual(
      [
        [alive.name, true],
        [dead.name, false],
      ].sort(),
    );
    expect((await launcher.list(other, never)).map((info) => info.name)).toEqual([elsewhere.name]);
  });

  contractCase('goes on when its launcher is closed, and the next one adopts it', async () => {
    const spec = specOf(harness.programs.polite);
    const launched = await launcher.launch(spec, never);
    await launcher.close();
    const next = another();
    expect(await next.list(labels, never)).toEqual([launched]);
    expect((await next.launch(spec, never)).id).toBe(launched.id);
    const exits: ServerExit[] = [];
    next.onExit((exit) => exits.push(exit));
    await next.stop(spec.name, 5, never);
    expect(isAlive(launched.pid)).toBe(false);
    await inTime(() => Promise.resolve(exits.find((exit) => exit.id === launched.id)));
  });

  contractCase('stops politely, and nothing is left', async () => {
    const { name, pid } = await launcher.launch(specOf(harness.programs.polite), never);
    const begin = Date.now();
    await launcher.stop(name, 20, never);
    expect(Date.now() - begin).toBeLessThan(10_000);
    expect(isAlive(pid)).toBe(false);
    expect(await launcher.inspect(name, never)).toBeUndefined();
    expect(await launcher.list(labels, never)).toEqual([]);
  });

  contractCase('stops by force what ignores SIGTERM, at the end of the grace', async () => {
    const { name, pid } = await launcher.launch(specOf(harness.programs.stubborn), never);
    await untilLogged(name, 'ready');
    const begin = Date.now();
    await launcher.stop(name, 1, never);
    expect(Date.now() - begin).toBeGreaterThan(900);
    expect(isAlive(pid)).toBe(false);
    expect(await launcher.inspect(name, never)).toBeUndefined();
  });

  contractCase('stops with the signal it was launched for, also after a restart of the service', async () => {
    const spec = specOf(harness.programs.interruptible, { stopSignal: 'SIGINT' });
    const { name, pid } = await launcher.launch(spec, never);
    await untilLogged(name, 'ready');
    await launcher.close();
    const begin = Date.now();
    await another().stop(name, 20, never);
    expect(Date.now() - begin).toBeLessThan(10_000);
    expect(isAlive(pid)).toBe(false);
  });

  contractCase('stopping what is already gone, or dead, is success', async () => {
    await launcher.stop(`mic-test-${randomUUID()}`, 1, never);
    const { name } = await launcher.launch(specOf(harness.programs.shortLived), never);
    await untilDead(name);
    await launcher.stop(name, 1, never);
    await launcher.stop(name, 1, never);
    expect(await launcher.inspect(name, never)).toBeUndefined();
  });

  contractCase('reports an exit with its code, once, and keeps the output', async () => {
    const exits: ServerExit[] = [];
    const silent: ServerExit[] = [];
    launcher.onExit(() => {
      throw new Error('a listener that fails');
    });
    launcher.onExit((exit) => exits.push(exit));
    launcher.onExit((exit) => silent.push(exit))();
    const { id, name } = await launcher.launch(specOf(harness.programs.shortLived), never);
    const exit = await inTime(() => Promise.resolve(exits.find((each) => each.name === name)));
    expect(exit).toMatchObject({ id, name, exitCode: 7 });
    expect(await launcher.inspect(name, never)).toMatchObject({ id, running: false, pid: null, exitCode: 7 });
    await sleep(400);
    expect(exits.filter((each) => each.name === name)).toHaveLength(1);
    expect(silent).toEqual([]);
    expect(await launcher.logs(name, 10, never)).toContain('going');
  });

  contractCase('reports the exit of a stop as well', async () => {
    const exits: ServerExit[] = [];
    launcher.onExit((exit) => exits.push(exit));
    const { id, name } = await launcher.launch(specOf(harness.programs.polite), never);
    await launcher.stop(name, 5, never);
    await inTime(() => Promise.resolve(exits.find((each) => each.id === id)));
  });

  contractCase('launching twice is launching once', async () => {
    const port = await freePort();
    const spec = specOf(harness.programs.polite, { ports: [{ name: 'http', port }] });
    const first = await launcher.launch(spec, never);
    await launcher.check(spec, never);
    const second = await launcher.launch(spec, never);
    expect(second).toEqual(first);
  });

  contractCase('two launches of one name at once start one', async () => {
    const spec = specOf(harness.programs.polite);
    const infos = await Promise.all([1, 2, 3].map(() => launcher.launch(spec, never)));
    expect(new Set(infos.map((info) => info.id)).size).toBe(1);
    expect(await launcher.list(labels, never)).toHaveLength(1);
  });

  contractCase('replaces a dead one of the same name', async () => {
    const spec = specOf(harness.programs.shortLived);
    const first = await launcher.launch(spec, never);
    await untilDead(spec.name);
    const second = await launcher.launch({ ...spec, ...harness.programs.polite }, never);
    expect(second.id).not.toBe(first.id);
    expect(second.running).toBe(true);
    expect(await launcher.list(labels, never)).toEqual([second]);
    expect(await launcher.logs(spec.name, 10, never)).not.toContain('going');
  });

  contractCase('refuses a name that a running server with other labels has', async () => {
    const spec = specOf(harness.programs.polite);
    const first = await launcher.launch(spec, never);
    const other = { ...spec, labels: { ...labels, [BACKEND_LABEL]: 'another' } };
    await expect(launcher.check(other, never)).rejects.toBeInstanceOf(NameTakenError);
    await expect(launcher.launch(other, never)).rejects.toBeInstanceOf(NameTakenError);
    expect(await launcher.inspect(spec.name, never)).toEqual(first);
  });

  contractCase('refuses a port that is taken, names it and who has it', async () => {
    const port = await freePort();
    const holder = await listen(port);
    try {
      const spec = specOf(harness.programs.polite, { ports: [{ name: 'http', port }] });
      const message = new RegExp(`^Port ${port} already in use by process ${process.pid} `);
      for (const attempt of [launcher.check(spec, never), launcher.launch(spec, never)]) {
        const error: unknown = await attempt.catch((reason: unknown) => reason);
        expect(error).toBeInstanceOf(PortInUseError);
        expect(String(error)).toContain(`Port ${port}`);
        expect((error as Error).message).toMatch(message);
      }
      expect(await launcher.list(labels, never)).toEqual([]);
    } finally {
      holder?.close();
    }
  });

  contractCase('a check changes nothing', async () => {
    await launcher.check(
      specOf(harness.programs.polite, { ports: [{ name: 'http', port: await freePort() }] }),
      never,
    );
    expect(await launcher.list(labels, never)).toEqual([]);
  });

  contractCase('gives the last lines of the output, oldest first, as plain text', async () => {
    const { name } = await launcher.launch(specOf(harness.programs.talkative), never);
    await untilLogged(name, 'line 5');
    expect(await launcher.logs(name, 2, never)).toEqual(['line 4', 'line 5']);
    expect(await launcher.logs(name, 100, never)).toEqual([1, 2, 3, 4, 5].map((number) => `line ${number}`));
    expect(await launcher.logs(name, 0, never)).toEqual([]);
  });

  contractCase('an aborted call ends, and what it was about can still be told', async () => {
    const spec = specOf(harness.programs.stubborn);
    const aborted = AbortSignal.abort(new Error('given up'));
    await expect(launcher.launch(spec, aborted)).rejects.toThrow('given up');
    await expect(launcher.check(spec, aborted)).rejects.toThrow('given up');
    expect(await launcher.inspect(spec.name, never)).toBeUndefined();

    await launcher.launch(spec, never);
    await untilLogged(spec.name, 'ready');
    const giveUp = new AbortController();
    const stop = launcher.stop(spec.name, 30, giveUp.signal);
    setTimeout(() => {
      giveUp.abort(new Error('given up'));
    }, 200);
    const begin = Date.now();
    await expect(stop).rejects.toThrow('given up');
    expect(Date.now() - begin).toBeLessThan(2000);
    expect(await launcher.inspect(spec.name, never)).toMatchObject({ name: spec.name });
    await launcher.stop(spec.name, 0, never);
    expect(await launcher.inspect(spec.name, never)).toBeUndefined();
  });
}
