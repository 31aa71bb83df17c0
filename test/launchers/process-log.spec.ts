import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { closeSync, mkdirSync, openSync, statSync, writeSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type LaunchLog, ProcessLogs } from '../../src/launchers/process/process-log.js';

const BOUND = 64 * 1024 * 1024;
const log: LaunchLog = { name: 'm', offset: 0, since: new Date(0) };

describe('the log of a process', () => {
  let directory: string;
  let logs: ProcessLogs;
  let file: number;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'process-log-'));
    logs = new ProcessLogs(directory, BOUND);
    mkdirSync(dirname(logs.pathOf('m')));
    file = openSync(logs.pathOf('m'), 'a');
  });

  afterEach(async () => {
    closeSync(file);
    await rm(directory, { recursive: true });
  });

  it('is cut while the server writes: what comes during the copy is kept as well', async () => {
    writeSync(file, Buffer.alloc(BOUND / 2, 'y'));
    writeSync(file, '\n');
    const bounded = logs.bound(log);
    const aside = `${logs.pathOf('m')}.1`;
    // The copy has begun, and has most of it still to do.
    while (statSync(aside, { throwIfNoEntry: false })?.size === undefined) await new Promise(setImmediate);
    for (let n = 0; n < 200; n += 1) writeSync(file, `line ${n}\n`);
    expect(await bounded).toBe(0);
    expect(statSync(logs.pathOf('m')).size).toBe(0);
    expect((await readFile(aside, 'utf8')).endsWith('line 198\nline 199\n')).toBe(true);
    expect(await logs.tail(log, 2)).toEqual(['line 198', 'line 199']);
  });

  it('is not cut below half of its bound', async () => {
    writeSync(file, 'a line\n');
    expect(await logs.bound(log)).toBe(7);
    expect(await logs.tail(log, 2)).toEqual(['a line']);
  });
});
