import { Readable } from 'node:stream';
import { demultiplex } from '../../src/launchers/docker/container-logs.js';
import { jsonLines } from '../../src/launchers/docker/json-lines.js';
import { NameLocks } from '../../src/launchers/name-locks.js';
import { lastLines } from '../../src/launchers/output-text.js';
import { parsePsLine, parseStat, startedBefore } from '../../src/host/process-identity.js';
import { carries, isServerName, sameLabels } from '../../src/launchers/server-name.js';

const onLinux = process.platform === 'linux' ? it : it.skip;

function frame(stream: number, text: string): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt8(stream, 0);
  header.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([header, Buffer.from(text)]);
}

function stat(name: string, state: string, threads = 1): string {
  const rest = `1 42 42 0 -1 4194560 1 0 0 0 1 0 0 0 20 0 ${threads} 0 98765 1 1`;
  return `42 (${name}) ${state} ${rest}`;
}

describe('the process table', () => {
  onLinux('reads a line whatever the name of the program', () => {
    for (const name of ['node', 'a b', ') R 1 2 (', 'x)) S 0']) {
      const row = parseStat(stat(name, 'S'));
      expect(row).toMatchObject({ pid: 42, parentPid: 1, groupId: 42, sessionId: 42, alive: true });
      expect(row?.startTime).toMatch(/^98765@[0-9a-f-]{36}$/);
    }
    expect(parseStat('')).toBeUndefined();
  });

  onLinux('counts a zombie as dead, unless it has threads that live on', () => {
    expect(parseStat(stat('a', 'Z'))?.alive).toBe(false);
    expect(parseStat(stat('a', 'Z', 3))?.alive).toBe(true);
    expect(parseStat(stat('a', 'X'))?.alive).toBe(false);
  });

  it('reads what ps prints', () => {
    expect(parsePsLine('  501     1   501 Ss   Mon Nov 23 22:10:11 2026 ')).toMatchObject({
      pid: 501,
      parentPid: 1,
      groupId: 501,
      sessionId: 0,
      alive: true,
      startTime: 'Mon Nov 23 22:10:11 2026',
    });
    expect(parsePsLine('7 1 7 Z Mon Nov 23 22:10:11 2026')?.alive).toBe(false);
    expect(parsePsLine('')).toBeUndefined();
  });

  it('compares start times of one boot only', () => {
    expect(startedBefore({ pid: 1, startTime: '9@a' }, { pid: 2, startTime: '10@a' })).toBe(true);
    expect(startedBefore({ pid: 1, startTime: '9@a' }, { pid: 2, startTime: '10@b' })).toBe(false);
    expect(startedBefore({ pid: 1, startTime: 'Mon' }, { pid: 2, startTime: 'Tue' })).toBe(false);
  });
});

describe('output', () => {
  it('is taken from the frames of both streams in order', () => {
    const output = Buffer.concat([
      frame(1, 'one\n'),
      frame(2, 'two\n'),
      frame(1, ''),
      frame(1, 'thr'),
      frame(1, 'ee\n'),
    ]);
    expect(demultiplex(output)).toBe('one\ntwo\nthree\n');
    expect(demultiplex(Buffer.alloc(0))).toBe('');
    expect(demultiplex(output.subarray(0, output.length - 2))).toBe('one\ntwo\nthre');
    expect(demultiplex(Buffer.from('no frames, a terminal\n'))).toBe('no frames, a terminal\n');
  });

  it('is plain text, as a terminal would show it in the end', () => {
    expect(lastLines('\u001b[1mbold\u001b[0m\r\n 10 %\r 50 %\r100 %\nlast', 5)).toEqual([
      'bold',
      '100 %',
      'last',
    ]);
    expect(lastLines('', 5)).toEqual([]);
    expect(lastLines('a\n\n', 5)).toEqual(['a', '']);
    expect(lastLines('x'.repeat(10_000), 1)[0]).toHaveLength(4097);
  });

  it('in lines of JSON comes in pieces', async () => {
    const values: unknown[] = [];
    const pieces = ['{"a":', '1}\n{"b":2}\r\n\nno JSON\n{"ü":"', 'ü"}\n{"cut'].map((piece) =>
      Buffer.from(piece),
    );
    for await (const value of jsonLines(Readable.from(pieces, { objectMode: false }))) values.push(value);
    expect(values).toEqual([{ a: 1 }, { b: 2 }, { ü: 'ü' }]);
  });
});

describe('names and labels', () => {
  it('knows what can be a name', () => {
    for (const name of ['triton_server', 'a1', 'A.b-c']) expect(isServerName(name)).toBe(true);
    for (const name of ['', 'a', '.x', '-x', 'a/b', '..', 'a b', 'a\n', 'x'.repeat(201)])
      expect(isServerName(name)).toBe(false);
  });

  it('compares labels', () => {
    expect(carries({ a: '1', b: '2' }, { a: '1' })).toBe(true);
    expect(carries({ a: '1' }, { toString: '1' })).toBe(false);
    expect(sameLabels({ a: '1', b: '2' }, { b: '2', a: '1' })).toBe(true);
    expect(sameLabels({ a: '1', b: '2' }, { a: '1' })).toBe(false);
  });
});

describe('NameLocks', () => {
  const never = new AbortController().signal;

  it('runs one after another for a name, side by side for others, also after a failure', async () => {
    const locks = new NameLocks();
    const order: string[] = [];
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    const first = locks.run('a', never, async () => {
      await gate;
      order.push('first');
      throw new Error('failed');
    });
    const second = locks.run('a', never, () => Promise.resolve(order.push('second')));
    await locks.run('b', never, () => Promise.resolve(order.push('other')));
    open();
    await expect(first).rejects.toThrow('failed');
    await second;
    expect(order).toEqual(['other', 'first', 'second']);
  });

  it('lets go of one who gives up waiting, and passes the turn on', async () => {
    const locks = new NameLocks();
    let open = (): void => undefined;
    const gate = new Promise<void>((resolve) => (open = resolve));
    const first = locks.run('a', never, () => gate);
    const giveUp = new AbortController();
    let ran = false;
    const second = locks.run('a', giveUp.signal, () => {
      ran = true;
      return Promise.resolve();
    });
    const third = locks.run('a', never, () => Promise.resolve('third'));
    giveUp.abort(new Error('given up'));
    await expect(second).rejects.toThrow('given up');
    open();
    await first;
    expect(await third).toBe('third');
    expect(ran).toBe(false);
  });
});
