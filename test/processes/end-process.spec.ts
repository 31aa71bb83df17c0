import { jest } from '@jest/globals';
import type { ProcessRow } from '../../src/host/process-identity.js';
import { type EndedBy, endProcess } from '../../src/processes/end-process.js';
import { ProcessNotFoundError, ProcessNotKilledError } from '../../src/processes/errors.js';
import { HostProcesses, ProcessPermissionError } from '../../src/host/host-processes.js';
import { pass, useFakeTime } from '../fakes/timers.js';
import { facts, type SentSignal, systemError } from './rig.js';

const TARGET = facts({ pid: 4242, startTime: '100@boot' });
const OPTIONS = { graceMs: 1000, killTimeoutMs: 500 };

/** A host on which only pid 4242 exists, in the time of jest's fake timers. */
class FakeHost {
  readonly sent: (SentSignal & { readonly atMs: number })[] = [];
  row: ProcessRow | undefined = TARGET;
  /** What a signal does, by default nothing. */
  onSignal: (signal: NodeJS.Signals) => void = () => undefined;
  /** What kill(pid, 0) says where there is no row. */
  probe = 'ESRCH';
  private readonly beganMs = performance.now();

  at(atMs: number, happen: () => void): void {
    setTimeout(happen, atMs - this.nowMs);
  }

  /** The end, with all the time that it may take. */
  end(options = OPTIONS): Promise<EndedBy> {
    const host = new HostProcesses({
      facts: () => Promise.resolve(undefined),
      row: () => Promise.resolve(this.row),
      kill: (pid, signal) => {
        if (signal === 0) throw systemError(this.probe);
        this.sent.push({ pid, signal, atMs: this.nowMs });
        this.onSignal(signal);
      },
    });
    const end = endProcess(TARGET, options, host);
    end.catch(() => undefined); // the test looks at it when all the time has passed
    return pass(options.graceMs + options.killTimeoutMs).then(() => end);
  }

  private get nowMs(): number {
    return performance.now() - this.beganMs;
  }
}

const someoneElse = facts({ pid: 4242, startTime: '999@boot' });

describe('the end of a process', () => {
  let host: FakeHost;
  beforeEach(() => {
    useFakeTime();
    host = new FakeHost();
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  it('is asked for with SIGTERM', async () => {
    host.onSignal = () => {
      host.at(300, () => (host.row = undefined));
    };
    await expect(host.end()).resolves.toBe('SIGTERM');
    expect(host.sent).toEqual([{ pid: 4242, signal: 'SIGTERM', atMs: 0 }]);
  });

  it('is forced with SIGKILL after the grace, not before', async () => {
    host.onSignal = (signal) => {
      if (signal === 'SIGKILL') host.at(1200, () => (host.row = undefined));
    };
    await expect(host.end()).resolves.toBe('SIGKILL');
    expect(host.sent).toEqual([
      { pid: 4242, signal: 'SIGTERM', atMs: 0 },
      { pid: 4242, signal: 'SIGKILL', atMs: 1000 },
    ]);
  });

  it('comes with SIGKILL alone where there is no grace', async () => {
    host.onSignal = () => (host.row = undefined);
    await expect(host.end({ ...OPTIONS, graceMs: 0 })).resolves.toBe('SIGKILL');
    expect(host.sent).toEqual([{ pid: 4242, signal: 'SIGKILL', atMs: 0 }]);
  });

  it('is there as soon as it is a zombie', async () => {
    host.onSignal = () => (host.row = { ...TARGET, alive: false, state: 'Z' });
    await expect(host.end()).resolves.toBe('SIGTERM');
  });

  it('is there when somebody else has the pid, who is not touched', async () => {
    host.onSignal = () => {
      host.at(100, () => (host.row = someoneElse));
    };
    await expect(host.end()).resolves.toBe('SIGTERM');
    expect(host.sent).toHaveLength(1);
  });

  it('signals nobody when the pid was reused before the first signal', async () => {
    host.row = someoneElse;
    await expect(host.end()).rejects.toThrow(ProcessNotFoundError);
    expect(host.sent).toEqual([]);
  });

  it('is no end when the process was gone before the first signal', async () => {
    host.row = undefined;
    await expect(host.end()).rejects.toThrow(ProcessNotFoundError);
    host.row = TARGET;
    host.onSignal = () => {
      throw systemError('ESRCH');
    };
    await expect(host.end()).rejects.toThrow(ProcessNotFoundError);
  });

  it.each([
    ['D', 'uninterruptible sleep'],
    ['S', 'its state is S'],
  ])('may not come: state %s', async (state, words) => {
    host.row = { ...TARGET, state };
    const ended = host.end();
    await expect(ended).rejects.toThrow(ProcessNotKilledError);
    await expect(ended).rejects.toThrow(words);
    await expect(ended).rejects.toThrow('0.5 s after SIGKILL');
    expect(host.sent.map((each) => each.signal)).toEqual(['SIGTERM', 'SIGKILL']);
  });

  it('is not believed just because the process table cannot be read', async () => {
    host.onSignal = () => {
      host.row = undefined;
      host.probe = 'EPERM';
      host.at(200, () => (host.probe = 'ESRCH'));
    };
    await expect(host.end()).resolves.toBe('SIGTERM');
    host = new FakeHost();
    host.onSignal = () => {
      host.row = undefined;
      host.probe = 'EPERM';
    };
    await expect(host.end()).rejects.toThrow(ProcessPermissionError);
  });

  it.each(['EPERM', 'EACCES'])('may be forbidden by the system: %s', async (code) => {
    host.onSignal = () => {
      throw systemError(code);
    };
    await expect(host.end()).rejects.toThrow(ProcessPermissionError);
  });
});

describe('ancestors', () => {
  const ancestorsIn = (rows: ProcessRow[]): Promise<readonly number[]> =>
    new HostProcesses({
      facts: () => Promise.resolve(undefined),
      row: (pid) => Promise.resolve(rows.find((row) => row.pid === pid)),
      kill: () => undefined,
    }).ancestorsOf(30);

  it('go up to the first process', async () => {
    const rows = [
      facts({ pid: 30, parentPid: 20, startTime: '3@boot' }),
      facts({ pid: 20, parentPid: 1, startTime: '2@boot' }),
      facts({ pid: 1, parentPid: 0, startTime: '1@boot' }),
    ];
    await expect(ancestorsIn(rows)).resolves.toEqual([20, 1]);
  });

  it('end at a pid that was reused, and at one that cannot be read', async () => {
    const reused = [
      facts({ pid: 30, parentPid: 20, startTime: '3@boot' }),
      facts({ pid: 20, parentPid: 30, startTime: '9@boot' }),
    ];
    await expect(ancestorsIn(reused)).resolves.toEqual([]);
    await expect(ancestorsIn(reused.slice(0, 1))).resolves.toEqual([20]);
  });
});
