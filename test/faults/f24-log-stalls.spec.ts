import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TestService } from '../support/service.js';

/** What the service keeps of its log in memory, and the kernel for the reader of a FIFO. */
const MAX_KEPT = 4.5 * 1024 * 1024;
/** Of a request that the log shows in full. */
const LONG_PATH = `/nothing/${'x'.repeat(6000)}`;
/** Of lines of this length, more than is kept. */
const LINES = 1000;

let directory: string;
let fifo: string;
/** Holds the FIFO open, so that who writes to it waits for a reader that does not come: as on a disk that has stalled. */
let holder: number | undefined;
let service: TestService;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mic-log-'));
  fifo = join(directory, 'service.log');
  execFileSync('mkfifo', [fifo]);
  holder = openSync(fifo, constants.O_RDWR);
});

afterEach(async () => {
  await service.dispose();
  letGo();
  rmSync(directory, { recursive: true });
});

function letGo(): void {
  if (holder !== undefined) closeSync(holder);
  holder = undefined;
}

/** Has the service write lines, and asserts that each request is answered all the same. */
async function fill(lines: number): Promise<void> {
  for (let index = 0; index < lines; index += 25) {
    const answers = Array.from({ length: 25 }, () => service.call('POST', LONG_PATH, {}));
    expect((await Promise.all(answers)).filter(({ status }) => status !== 404)).toEqual([]);
  }
}

/** The requests that come out of the FIFO until the log says how many lines it has lost. Each is there, or was lost. */
async function readUntilLossIsSaid(): Promise<string[]> {
  const cat = spawn('cat', [fifo], { stdio: ['ignore', 'pipe', 'ignore'] });
  let text = '';
  let lost = Number.NaN;
  cat.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
    lost = Number(/"lines":(\d+),.*lines of the log are lost/.exec(text)?.[1]);
    if (!Number.isNaN(lost)) cat.kill();
  });
  await once(cat, 'close');
  const requests = text.split('\n').filter((line) => line.includes('/nothing/'));
  expect(lost).toBeGreaterThan(100);
  expect(requests.length + lost).toBe(LINES);
  expect(text.length).toBeLessThan(MAX_KEPT);
  return requests;
}

const onLinux = process.platform === 'linux' ? describe : describe.skip;

onLinux('the disk of the log stalls', () => {
  it('and the service answers on, keeps a bounded part, and says what it has lost when it flows again', async () => {
    service = await TestService.create({ process: true, config: { log: { level: 'info', file: fifo } } });
    await service.boot();
    await fill(LINES);
    const lines = await readUntilLossIsSaid();
    for (const line of lines) expect(JSON.parse(line)).toMatchObject({ msg: 'request' });
  });

  it('and SIGTERM ends the service in time', async () => {
    service = await TestService.create({ process: true, config: { log: { level: 'info', file: fifo } } });
    await service.boot();
    await fill(100);
    const begun = performance.now();
    // By its own hand: to an exit in order belongs the end of a write that does not end.
    expect(await service.end('SIGTERM')).toBeNull();
    expect(performance.now() - begun).toBeLessThan(10_000);
    expect(service.log).toContain('Shut down');
  });
});

onLinux('nobody reads the standard output', () => {
  it('and the service answers on, keeps a bounded part, says what it has lost, and ends in time', async () => {
    service = await TestService.create({ process: true });
    await service.boot(['sh', '-c', `exec "$0" "$@" >${fifo}`]);
    await fill(LINES);
    await readUntilLossIsSaid();
    await fill(100);
    expect(await service.end('SIGTERM')).toBe(0);
  });
});

onLinux('an error that nothing catches', () => {
  const THROW_ON_SIGNAL =
    '--import=data:text/javascript,process.on(%22SIGUSR2%22,()=>{throw%20new%20Error(%22unforeseen%22)})';

  it('ends the service with an error, and the log has all up to that error', async () => {
    letGo();
    const file = join(directory, 'plain.log');
    service = await TestService.create({
      config: { log: { level: 'info', file } },
      env: { NODE_OPTIONS: THROW_ON_SIGNAL },
    });
    await service.boot();
    await fill(100);
    expect(await service.end('SIGUSR2')).toBe(1);
    for (const text of [readFileSync(file, 'utf8'), service.log]) {
      const lines = text.trim().split('\n');
      expect(lines.filter((line) => line.includes('/nothing/'))).toHaveLength(100);
      expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({
        level: 'fatal',
        err: { message: 'unforeseen' },
      });
    }
  });

  it('ends it in time, also when the log has stalled', async () => {
    service = await TestService.create({
      config: { log: { level: 'info', file: fifo } },
      env: { NODE_OPTIONS: THROW_ON_SIGNAL },
    });
    await service.boot();
    await fill(100);
    const begun = performance.now();
    await service.end('SIGUSR2');
    expect(performance.now() - begun).toBeLessThan(10_000);
    expect(service.log).toContain('unforeseen');
  });
});
