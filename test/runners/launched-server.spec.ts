import { jest } from '@jest/globals';
import { Launcher, type ServerExit, type ServerInfo } from '../../src/launchers/launcher.js';
import { ExitListeners } from '../../src/launchers/exit-listeners.js';
import { LaunchedServer } from '../../src/runners/launched-server.js';
import { Whereabouts } from '../../src/runners/whereabouts.js';
import { pass, useFakeTime } from '../fakes/timers.js';

/** A launcher of one server, which a test ends and replaces. */
class OneServerLauncher extends Launcher {
  readonly kind = 'process';
  readonly exits = new ExitListeners();
  info: ServerInfo | undefined;
  hangs = false;

  /** A further run of the server, alive. */
  run(id: string): void {
    this.info = {
      id,
      name: 'server',
      labels: {},
      running: true,
      pid: 7,
      startedAt: null,
      exitCode: null,
    };
  }

  /** The run that is there ends. */
  end(exitCode: number | null, reason?: string): void {
    if (!this.info) return;
    const { id, name } = this.info;
    const why = reason === undefined ? {} : { reason };
    this.info = { ...this.info, running: false, pid: null, exitCode, ...why };
    this.exits.emit({ id, name, exitCode, ...why });
  }

  check(): Promise<void> {
    return Promise.resolve();
  }

  launch(): Promise<ServerInfo> {
    return Promise.reject(new Error('not here'));
  }

  inspect(): Promise<ServerInfo | undefined> {
    return this.hangs ? new Promise(() => undefined) : Promise.resolve(this.info);
  }

  list(): Promise<readonly ServerInfo[]> {
    return Promise.resolve([]);
  }

  serverOf(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  logs(): Promise<readonly string[]> {
    return Promise.resolve([`last line of ${this.info?.id ?? 'none'}`]);
  }

  onExit(listener: (exit: ServerExit) => void): () => void {
    return this.exits.add(listener);
  }

  override exitOf(id: string): ServerExit | undefined {
    return this.exits.exitOf(id);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

class TestServer extends LaunchedServer {
  protected readonly stopGraceSeconds = 1;
}

let launcher: OneServerLauncher;
let server: TestServer;

beforeEach(() => {
  launcher = new OneServerLauncher();
  server = new TestServer(new Whereabouts({ name: 'server', launcher }, () => true));
  launcher.run('first');
});

const lost = async (runId?: string): Promise<{ message: string; facts: unknown }> => {
  const { message, facts } = await server.lost('It broke off', undefined, runId);
  return { message, facts };
};

describe('how a server was lost', () => {
  it('is told with exit code and last line', async () => {
    launcher.end(3);
    await expect(lost('first')).resolves.toEqual({
      message: 'It broke off: server ended with exit code 3; last line: last line of first',
      facts: { server: 'server', exitCode: 3, log: ['last line of first'] },
    });
  });

  it('is told of the run that was lost, also when another has replaced it', async () => {
    launcher.end(137, 'out of memory');
    launcher.run('second');
    await expect(lost('first')).resolves.toEqual({
      message: 'It broke off: server ended with exit code 137 (out of memory)',
      facts: { server: 'server', exitCode: 137, log: [] },
    });
  });

  it('is told of the run that was lost, also when the next one has ended otherwise', async () => {
    launcher.end(3);
    launcher.run('second');
    launcher.end(4);
    expect((await lost('first')).facts).toMatchObject({ exitCode: 3 });
    expect((await lost('second')).facts).toMatchObject({ exitCode: 4, log: ['last line of second'] });
    expect((await lost()).facts).toMatchObject({ exitCode: 4 });
  });

  it('is told of the run that was lost, also when its server is gone', async () => {
    launcher.end(3);
    launcher.info = undefined;
    expect((await lost('first')).message).toBe('It broke off: server ended with exit code 3');
    expect((await lost('unknown')).message).toBe('It broke off: server does not run');
  });

  it('is told without a code where none is known', async () => {
    launcher.end(null);
    launcher.run('second');
    await expect(lost('first')).resolves.toMatchObject({ message: 'It broke off: server ended' });
  });

  it('is told by what was seen of its end when the launcher does not answer', async () => {
    useFakeTime();
    launcher.end(3);
    launcher.hangs = true;
    const told = lost('first');
    await pass(1000);
    await expect(told).resolves.toMatchObject({ facts: { exitCode: 3 } });
    jest.useRealTimers();
  });
});

describe('the exits of a launcher', () => {
  const exit = (id: string, exitCode = 1): ServerExit => ({ id, name: 'server', exitCode });

  it('are remembered by run', () => {
    const exits = new ExitListeners();
    exits.emit(exit('first', 3));
    exits.emit(exit('second', 4));
    expect([exits.exitOf('first'), exits.exitOf('second'), exits.exitOf('third')]).toEqual([
      exit('first', 3),
      exit('second', 4),
      undefined,
    ]);
  });

  it('are known before anybody hears of them, and after all who listen are gone', () => {
    const exits = new ExitListeners();
    const heard: unknown[] = [];
    exits.add(({ id }) => heard.push(exits.exitOf(id)));
    exits.emit(exit('first'));
    exits.clear();
    expect([heard, exits.exitOf('first')]).toEqual([[exit('first')], exit('first')]);
  });

  it('are forgotten when many others came after', () => {
    const exits = new ExitListeners();
    for (let run = 0; run < 1000; run += 1) exits.emit(exit(`run-${run}`));
    expect([exits.exitOf('run-0'), exits.exitOf('run-999'), exits.exitOf('run-990')]).toEqual([
      undefined,
      exit('run-999'),
      exit('run-990'),
    ]);
  });
});
