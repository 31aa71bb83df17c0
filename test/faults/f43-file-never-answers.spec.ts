import { afterEach, describe, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TestService } from '../support/service.js';

/** More than libuv has threads, which are four. */
const BAD = ['Bad1', 'Bad2', 'Bad3', 'Bad4', 'Bad5', 'Bad6'];

let service: TestService | undefined;

let fifos: string[] = [];

afterEach(async () => {
  for (const fifo of fifos) rmSync(fifo, { force: true });
  fifos = [];
  await service?.dispose();
  service = undefined;
});

async function create(env?: Record<string, string>): Promise<TestService> {
  const models = Object.fromEntries(['MAM', ...BAD].map((model) => [model, { load_seconds: 0.1 }]));
  service = await TestService.create({ process: true, models, ...(env && { env }) });
  return service;
}

/** In the place of a file: it is there, and nobody ever writes to it. */
function makeFifo(path: string): void {
  rmSync(path, { force: true });
  execFileSync('mkfifo', [path]);
  fifos.push(path);
}

describe('F43: a file that never answers', () => {
  it('in the place of templates: each start is refused at once, all else goes on, and SIGTERM ends the service', async () => {
    const made = await create();
    const templateOf = (model: string): string => join(made.repository, model, 'config.pbtxt.template');
    for (const model of BAD) makeFifo(templateOf(model));
    await made.boot();
    const begun = performance.now();
    for (const model of [...BAD, ...BAD]) {
      const { status, body } = await made.start(model, 0);
      expect({ status, code: body.code }).toEqual({ status: 500, code: 'MODEL_CONFIG_FAILED' });
      expect(body.detail).toContain(`${templateOf(model)} is a FIFO, and no regular file`);
    }
    expect(performance.now() - begun).toBeLessThan(5000);
    await made.start('MAM', 0);
    await made.untilRunning('MAM@0');
    expect((await made.get('/health/ready')).status).toBe(200);
    expect((await made.stop('MAM', 0)).status).toBe(200);
    expect(await made.end('SIGTERM')).toBe(0);
  });

  it('in the place of config.pbtxt: the start is refused, and a model that serves is stopped', async () => {
    const made = await create();
    const config = join(made.repository, 'MAM/config.pbtxt');
    await made.boot();
    await made.start('MAM', 0);
    await made.untilRunning('MAM@0');
    makeFifo(config);
    expect((await made.stop('MAM', 0)).status).toBe(200);
    makeFifo(config);
    const { status, body } = await made.start('MAM', 0);
    expect({ status, code: body.code }).toEqual({ status: 500, code: 'MODEL_CONFIG_FAILED' });
    expect(body.detail).toContain(`${config} is a FIFO`);
    expect(statSync(config).isFIFO()).toBe(true);
    expect(await made.end('SIGTERM')).toBe(0);
  });

  it('in the place of the state file, the records or a log of a server: the service answers, and ends', async () => {
    const made = await create();
    await made.boot();
    await made.start('MAM', 0);
    await made.untilRunning('MAM@0');
    for (const file of ['processes/stranger.json', 'logs/triton_server.log', 'gpu-memory.json'])
      makeFifo(join(made.stateDir, file));
    expect((await made.stop('MAM', 0)).status).toBe(200);
    expect(await made.end('SIGTERM')).toBe(0);
    await made.boot();
    expect(await made.placements()).toEqual([]);
    expect(await made.end('SIGTERM')).toBe(0);
    makeFifo(join(made.stateDir, 'desired-state.json'));
    await expect(made.boot()).rejects.toThrow('is a FIFO, and no regular file');
  });

  it('nor is a file read that is larger than any of its kind', async () => {
    const made = await create();
    const template = join(made.repository, 'MAM/config.pbtxt.template');
    writeFileSync(template, '#');
    truncateSync(template, 3 * 2 ** 30);
    await made.boot();
    const { status, body } = await made.start('MAM', 0);
    expect({ status, code: body.code }).toEqual({ status: 500, code: 'MODEL_CONFIG_FAILED' });
    expect(body.detail).toMatch(/config\.pbtxt\.template has 3221225472 bytes, more than the 262144/);
  });

  it('named by the operator: the boot says so, and ends', async () => {
    const made = await create();
    const config = readFileSync(made.configFile, 'utf8');
    makeFifo(made.configFile);
    await expect(made.boot()).rejects.toThrow(
      `MIC_CONFIG: ${made.configFile} is a FIFO, and no regular file`,
    );
    rmSync(made.configFile);
    writeFileSync(made.configFile, config);
    const log = join(made.directory, 'service.log');
    makeFifo(log);
    await made.edit((file) => Object.assign(file, { log: { file: log } }));
    await expect(made.boot()).rejects.toThrow(`Cannot open the log file ${log}`);
  });

  it('on a disk that hangs, with all threads: reads are answered, and SIGTERM ends the service', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'mic-hung-'));
    const hung = join(directory, 'hung');
    makeFifo(hung);
    // As on a hard mount whose server is gone: no call of libuv's threads returns.
    const hang = `import{readFile}from"node:fs";process.on("SIGUSR2",()=>{for(let i=0;i<8;i++)readFile(${JSON.stringify(hung)},()=>0)})`;
    const made = await create({ NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(hang)}` });
    await made.boot();
    await made.start('MAM', 0);
    await made.untilRunning('MAM@0');
    process.kill(made.pid, 'SIGUSR2');
    expect((await made.get('/health/live')).status).toBe(200);
    expect(await made.placements()).toEqual(['MAM@0:RUNNING']);
    // A start needs a file.
    const { status, body } = await made.start('Bad1', 1);
    expect({ status, code: body.code }).toEqual({ status: 503, code: 'FILES_STUCK' });
    expect(body.detail).toContain(`${made.repository}/`);
    await made.until(async () => (await made.get('/health/ready')).body.status !== 'ok');
    const ready = await made.get('/health/ready');
    expect(JSON.stringify(ready.body)).toContain('does not answer');
    const begun = performance.now();
    // By its own hand: nothing else ends a process whose threads do not return.
    expect(await made.end('SIGTERM')).toBeNull();
    expect(performance.now() - begun).toBeLessThan(15_000);
    rmSync(directory, { recursive: true });
  });
});
