import { jest } from '@jest/globals';
import { endProcesses, type EndOptions, type EndTarget } from '../../src/host/end-processes.js';
import { pass, useFakeTime } from '../fakes/timers.js';

/** Processes by number, which a signal ends where the test says so. */
class FakeTarget implements EndTarget<readonly number[]> {
  readonly sent: { readonly signal: string; readonly left: readonly number[]; readonly atMs: number }[] = [];
  looks = 0;
  onSignal: (signal: string) => void = () => undefined;
  mayRemain?: () => boolean;
  private readonly beganMs = performance.now();

  constructor(public alive: readonly number[]) {}

  remains(): Promise<readonly number[] | undefined> {
    this.looks += 1;
    return Promise.resolve(this.alive.length > 0 ? this.alive : undefined);
  }

  signal(signal: string, left: readonly number[]): void {
    this.sent.push({ signal, left, atMs: performance.now() - this.beganMs });
    this.onSignal(signal);
  }

  sentOf(signal: string): number[] {
    return this.sent.filter((each) => each.signal === signal).map(({ atMs }) => atMs);
  }
}

const OPTIONS: EndOptions = {
  politeSignal: 'SIGINT',
  graceMs: 1000,
  killTimeoutMs: 500,
  signal: new AbortController().signal,
};

describe('the end of processes', () => {
  beforeEach(useFakeTime);
  afterEach(() => {
    jest.useRealTimers();
  });

  it('sends nothing where nothing is alive', async () => {
    const target = new FakeTarget([]);
    await expect(endProcesses(target, OPTIONS)).resolves.toBeUndefined();
    expect(target.sent).toEqual([]);
  });

  it('is over as soon as all have heeded the polite signal', async () => {
    const target = new FakeTarget([7]);
    target.onSignal = () => setTimeout(() => (target.alive = []), 300);
    const ended = jest.fn();
    const end = endProcesses(target, OPTIONS).then(ended);
    await pass(280);
    expect(ended).not.toHaveBeenCalled();
    await pass(40);
    await end;
    expect(ended).toHaveBeenCalledWith(undefined);
    expect(target.sentOf('SIGINT')[0]).toBe(0);
    expect(target.sentOf('SIGKILL')).toEqual([]);
  });

  it('tells the target at each look what is left, so that it can signal what has come since', async () => {
    const target = new FakeTarget([7]);
    setTimeout(() => (target.alive = [7, 8]), 100);
    const end = endProcesses(target, { ...OPTIONS, graceMs: 0 });
    await pass(600);
    await end;
    expect(target.sent.at(0)).toMatchObject({ signal: 'SIGKILL', left: [7], atMs: 0 });
    expect(target.sent.at(-1)).toMatchObject({ signal: 'SIGKILL', left: [7, 8] });
  });

  it('forces after the grace and not before; names those that outlive SIGKILL', async () => {
    const target = new FakeTarget([7, 8]);
    target.onSignal = (signal) => {
      if (signal === 'SIGKILL') target.alive = [8];
    };
    const end = endProcesses(target, OPTIONS);
    await pass(1500);
    await expect(end).resolves.toEqual([8]);
    expect(target.sentOf('SIGKILL')[0]).toBe(1000);
    expect(Math.max(...target.sentOf('SIGINT'))).toBeLessThan(1000);
  });

  it('with no grace sends SIGKILL alone', async () => {
    const target = new FakeTarget([7]);
    target.onSignal = () => (target.alive = []);
    await expect(endProcesses(target, { ...OPTIONS, graceMs: 0 })).resolves.toBeUndefined();
    expect(target.sent).toEqual([{ signal: 'SIGKILL', left: [7], atMs: 0 }]);
  });

  it('takes the dear look rarely while the cheap one says that some are left, and at once when it does not', async () => {
    const target = new FakeTarget([7]);
    target.mayRemain = () => target.alive.length > 0;
    setTimeout(() => (target.alive = []), 900);
    const ended = jest.fn();
    void endProcesses(target, OPTIONS).then(ended);
    await pass(880);
    expect(target.looks).toBeLessThan(8); // 44 looks of 20 ms
    await pass(40);
    expect(ended).toHaveBeenCalledWith(undefined);
  });

  it('ends when its signal aborts, and sends nothing any more', async () => {
    const abort = new AbortController();
    const target = new FakeTarget([7]);
    const end = endProcesses(target, { ...OPTIONS, signal: abort.signal });
    const failed = expect(end).rejects.toThrow('enough');
    await pass(100);
    abort.abort(new Error('enough'));
    await failed;
    const sent = target.sent.length;
    await pass(2000);
    expect(target.sent).toHaveLength(sent);
    await expect(endProcesses(target, { ...OPTIONS, signal: abort.signal })).rejects.toThrow('enough');
    expect(target.sent).toHaveLength(sent);
  });
});
