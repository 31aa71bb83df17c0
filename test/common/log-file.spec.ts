import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { mkdtempSync, readFileSync, renameSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LogFile } from '../../src/common/logging/log-file.js';

let directory: string;
let path: string;
let file: LogFile;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mic-log-'));
  path = join(directory, 'logs/service.log');
  file = new LogFile(path, 0);
});

afterEach(() => {
  file.close();
  rmSync(directory, { recursive: true });
});

it('creates its directory, and appends', () => {
  file.write('one\n');
  file.write('two\n');
  expect(readFileSync(path, 'utf8')).toBe('one\ntwo\n');
});

it('follows its path when logrotate moves the file away', () => {
  file.write('one\n');
  renameSync(path, `${path}.1`);
  file.write('two\n');
  expect(readFileSync(`${path}.1`, 'utf8')).toBe('one\n');
  expect(readFileSync(path, 'utf8')).toBe('two\n');
});

it('goes on at the start when logrotate copies and truncates', () => {
  file.write('a long line that is gone after the rotation\n');
  truncateSync(path);
  file.write('two\n');
  expect(readFileSync(path, 'utf8')).toBe('two\n');
});

it('loses lines, and throws nothing, when its directory is gone', () => {
  rmSync(join(directory, 'logs'), { recursive: true });
  expect(() => {
    file.write('lost\n');
  }).not.toThrow();
});

it('writes nothing after its close, when the descriptor may be another file’s', () => {
  file.write('one\n');
  file.close();
  const other = new LogFile(join(directory, 'other.log'), 0);
  file.write('two\n');
  other.close();
  expect(readFileSync(path, 'utf8')).toBe('one\n');
  expect(readFileSync(join(directory, 'other.log'), 'utf8')).toBe('');
});

it('says at once when the file cannot be opened', () => {
  expect(() => new LogFile(directory)).toThrow('EISDIR');
});
