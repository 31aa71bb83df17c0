import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { mkdtempSync, readFileSync, renameSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LineQueue } from '../../src/common/logging/line-queue.js';
import { LogFile } from '../../src/common/logging/log-file.js';

let directory: string;
let path: string;
let failures: unknown[];
let file: LineQueue;

const queueTo = (target: string) =>
  new LineQueue(new LogFile(target, 0), {
    onFailure: (error) => failures.push(error),
    onLoss: () => undefined,
  });

/** Writes a line, and waits until it is in the file. */
async function write(line: string): Promise<void> {
  file.write(line);
  await file.settled();
}

beforeEach(() => {
  failures = [];
  directory = mkdtempSync(join(tmpdir(), 'mic-log-'));
  path = join(directory, 'logs/service.log');
  file = queueTo(path);
});

afterEach(async () => {
  await file.close(1000);
  rmSync(directory, { recursive: true });
});

it('creates its directory, and appends', async () => {
  await write('one\n');
  await write('two\n');
  expect(readFileSync(path, 'utf8')).toBe('one\ntwo\n');
});

it('follows its path when logrotate moves the file away', async () => {
  await write('one\n');
  renameSync(path, `${path}.1`);
  await write('two\n');
  expect(readFileSync(`${path}.1`, 'utf8')).toBe('one\n');
  expect(readFileSync(path, 'utf8')).toBe('two\n');
});

it('goes on at the start when logrotate copies and truncates', async () => {
  await write('a long line that is gone after the rotation\n');
  truncateSync(path);
  await write('two\n');
  expect(readFileSync(path, 'utf8')).toBe('two\n');
});

it('loses lines, throws nothing and says so, when its directory is gone', async () => {
  rmSync(join(directory, 'logs'), { recursive: true });
  expect(() => {
    file.write('lost\n');
  }).not.toThrow();
  await file.settled();
  expect(failures).toMatchObject([{ code: 'ENOENT' }]);
});

it('writes nothing after its close, when the descriptor may be another file’s', async () => {
  await write('one\n');
  await file.close(1000);
  const other = queueTo(join(directory, 'other.log'));
  await write('two\n');
  await other.close(1000);
  expect(readFileSync(path, 'utf8')).toBe('one\n');
  expect(readFileSync(join(directory, 'other.log'), 'utf8')).toBe('');
});

it('says at once when the file cannot be opened', () => {
  expect(() => new LogFile(directory)).toThrow('EISDIR');
});
