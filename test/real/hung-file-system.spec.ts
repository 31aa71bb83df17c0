import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { HungMount } from '../support/hung-mount.js';
import { TestService } from '../support/service.js';

jest.setTimeout(120_000);

/** Of an answer while a disk hangs, ms: the state's deadline, that of other files, and a busy machine. */
const LIMIT_MS = 15_000;

const isPossible = HungMount.isPossible();
if (!isPossible && process.env.REQUIRE_REAL === '1')
  process.stderr.write('No file system can hang here: /dev/fuse, root or Python is missing.\n');

let service: TestService;
let mounts: HungMount[] = [];

async function hang(directory: string): Promise<HungMount> {
  const mount = await HungMount.over(directory);
  mounts.push(mount);
  return mount;
}

async function within<T>(limitMs: number, work: Promise<T>): Promise<T> {
  const begun = performance.now();
  const result = await work;
  expect(performance.now() - begun).toBeLessThan(limitMs);
  return result;
}

afterEach(async () => {
  for (const mount of mounts) await mount.end();
  mounts = [];
  await service.dispose();
});

/** Two models of the shared Triton, and one with a server of its own. */
async function boot(): Promise<void> {
  const fast = { load_seconds: 0.1 };
  service = await TestService.create({
    process: true,
    models: { MAM: fast, FastFitAll: fast, SlowInfer: fast },
    triton: { model_gpu_configs: { SlowInfer: { use_dedicated_server: true } } },
  });
  await service.boot();
  await service.start('MAM', 0);
  await service.start('FastFitAll', 1);
  await service.start('SlowInfer', 1);
  await service.untilRunning('MAM@0', 'FastFitAll@1', 'SlowInfer@1');
}

(isPossible ? describe : describe.skip)('a file system that hangs, in the kernel', () => {
  it('under the state: reads are answered, starts refused, stops done; when it is back, all of it is on disk', async () => {
    await boot();
    const [, own = 0] = await service.serverPids();
    const mount = await hang(service.stateDir);

    const refused = await within(LIMIT_MS, service.start('MAM', 2));
    expect(refused.status).toBeGreaterThanOrEqual(500);
    expect(refused.body.detail).toContain(`${service.stateDir}/`);
    expect(refused.body.detail).toContain('does not answer');
    expect((await service.get('/health/live')).status).toBe(200);
    expect(await service.get('/health/ready')).toMatchObject({ status: 503, body: { code: 'FILES_STUCK' } });
    expect(await service.placements()).toEqual([
      'FastFitAll@1:RUNNING',
      'MAM@0:RUNNING',
      'SlowInfer@1:RUNNING',
    ]);

    const stopped = await within(LIMIT_MS, service.stop('FastFitAll', 1));
    expect([stopped.status, stopped.body.status]).toEqual([200, 'STOPPED']);
    expect(stopped.body.state_unsaved).toContain('does not answer');
    const forced = await within(LIMIT_MS, service.stop('SlowInfer', 1, { force: true }));
    expect(forced.status).toBe(200);
    expect(() => process.kill(own, 0)).toThrow('ESRCH');
    expect(await service.placements()).toEqual(['MAM@0:RUNNING']);

    await mount.end();
    await service.until(async () => (await service.get('/health/ready')).status === 200);
    await service.until(async () => (await service.desired()).join() === 'MAM@0');
    expect((await service.start('SlowInfer', 1)).status).toBe(202);
    await service.untilRunning('MAM@0', 'SlowInfer@1');
    expect(await service.end('SIGTERM')).toBe(0);
  });

  it('under the state: a process is ended by DELETE, and SIGTERM ends the service; the next run knows what serves', async () => {
    await boot();
    const [shared = 0, own = 0] = await service.serverPids();
    const mount = await hang(service.stateDir);
    const ended = await within(LIMIT_MS, service.call('DELETE', `/api/v1/processes/${own}`));
    expect([ended.status, ended.body.status]).toEqual([200, 'killed']);
    expect(() => process.kill(own, 0)).toThrow('ESRCH');
    await within(LIMIT_MS, service.end('SIGTERM'));
    await mount.end();
    await service.boot();
    // Nobody could write that it was ended: it is wanted still.
    await service.untilRunning('MAM@0', 'FastFitAll@1', 'SlowInfer@1');
    expect(await service.serverPids()).toContain(shared);
  });

  it('under the models: starts of them are refused, and what serves can be stopped, by force where Triton hangs as well', async () => {
    await boot();
    await hang(service.repository);
    const refused = await within(LIMIT_MS, service.start('MAM', 2));
    expect(refused).toMatchObject({ status: 503, body: { code: 'FILES_STUCK' } });
    expect((await within(LIMIT_MS, service.stop('SlowInfer', 1))).status).toBe(200);
    // Triton itself waits for its repository; by force, it is ended.
    for (const [model, gpu] of [
      ['FastFitAll', 1],
      ['MAM', 0],
    ] as const)
      expect((await within(30_000, service.stop(model, gpu, { force: true }))).body).toMatchObject({
        status: 'STOPPED',
      });
    expect(await service.placements()).toEqual([]);
    await within(LIMIT_MS, service.end('SIGTERM'));
  });

  it.each([
    ['the state', () => service.stateDir],
    ['its configuration', () => dirname(service.configFile)],
    ['its log', () => join(service.directory, 'log')],
  ])('under %s: a boot says so, and ends', async (what, directory) => {
    service = await TestService.create({ process: true });
    if (what === 'its log') {
      await mkdir(directory());
      await service.edit((file) => Object.assign(file, { log: { file: join(directory(), 'service.log') } }));
    }
    if (what === 'the state') await mkdir(directory());
    const mount = await hang(directory());
    await within(LIMIT_MS, expect(service.boot()).rejects.toThrow(/service ended.*does not answer/s));
    expect(service.log).toContain(directory());
    await mount.end();
  });
});
