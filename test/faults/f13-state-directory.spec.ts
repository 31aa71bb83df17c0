import { afterEach, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { chmod, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestService } from '../support/service.js';

let service: TestService;
let undo: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const each of undo.reverse()) await each();
  undo = [];
  await service.dispose();
});

/** Root writes where it may not: it runs the service without that power. */
const asMortal = process.getuid?.() === 0 ? ['setpriv', '--bounding-set=-dac_override,-dac_read_search'] : [];
const canMount = spawnSync('unshare', ['-m', 'true']).status === 0;

/** FastFitAll would need a server of its own. Probes are frequent, so that each is made in every state of the disk. */
async function bootWithMam(wrapper: (stateDir: string) => readonly string[]): Promise<number> {
  service = await TestService.create({
    models: { MAM: { load_seconds: 0.1 }, FastFitAll: { load_seconds: 0.1 } },
    triton: { model_gpu_configs: { FastFitAll: { use_dedicated_server: true }, default: {} } },
    config: { health: { fast_interval_ms: 50, slow_interval_ms: 100, probe_timeout_ms: 2000 } },
  });
  await service.boot(wrapper(service.stateDir));
  expect(await service.start('MAM', 0)).toMatchObject({ status: 202 });
  await service.untilRunning('MAM@0');
  return (await service.start('MAM', 0)).body.pid as number;
}

/** Starts are refused and change nothing; what runs is as it was, through probes and reads. */
async function expectRefusedAndUnaffected(pid: number, startCode = 'STATE_WRITE_FAILED'): Promise<void> {
  for (const [model, gpu] of [
    ['FastFitAll', 1],
    ['MAM', 1],
  ] as const) {
    expect(await service.start(model, gpu)).toMatchObject({ status: 500, body: { code: startCode } });
  }
  const calm = performance.now() + 1500;
  await service.until(async () => {
    expect(await service.placements()).toEqual(['MAM@0:RUNNING']);
    return performance.now() > calm;
  });
  expect((await service.get('/api/v1/gpus')).status).toBe(200);
  expect((await service.get('/health/ready')).status).toBe(200);
  expect((await service.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
  expect((await service.start('MAM', 0)).body).toMatchObject({ status: 'RUNNING', pid });
  expect(await readdir(join(service.repository, 'FastFitAll'))).not.toContain('config.pbtxt');
}

/** What frees needs no room: it is done, said not to be saved, and saved once it can be. */
async function expectStoppedAllTheSame(isSaid: boolean, mend: () => Promise<unknown>): Promise<void> {
  const { status, body } = await service.stop('MAM', 0);
  expect(status).toBe(200);
  expect(body).toMatchObject({ status: 'STOPPED' });
  if (isSaid) expect(body.state_unsaved).toContain('written as soon as it can be');
  expect(await service.placements()).toEqual([]);
  await mend();
  await service.until(async () => (await service.start('FastFitAll', 2)).status === 202);
  expect((await service.stop('FastFitAll', 2)).body.state_unsaved).toBeUndefined();
  expect((await service.start('MAM', 0)).status).toBe(202);
  await service.untilRunning('MAM@0');
}

async function expectAllIsWellAgain(): Promise<void> {
  expect((await service.start('FastFitAll', 1)).status).toBe(202);
  await service.untilRunning('FastFitAll@1', 'MAM@0');
  expect((await service.stop('MAM', 0)).status).toBe(200);
  expect((await service.stop('FastFitAll', 1)).status).toBe(200);
}

describe('F13: the state directory', () => {
  it('is read-only: starts are refused with 500, what runs is unaffected, and can be stopped', async () => {
    const pid = await bootWithMam(() => asMortal);
    await chmod(service.stateDir, 0o555);
    await chmod(join(service.stateDir, 'processes'), 0o555);
    undo.push(
      () => chmod(service.stateDir, 0o755),
      () => chmod(join(service.stateDir, 'processes'), 0o755),
    );
    await expectRefusedAndUnaffected(pid);
    await expectStoppedAllTheSame(true, async () => {
      await chmod(service.stateDir, 0o755);
      await chmod(join(service.stateDir, 'processes'), 0o755);
    });
    await expectAllIsWellAgain();
  });

  it('is gone: the same, and all is well again when it is back', async () => {
    const pid = await bootWithMam(() => []);
    const aside = `${service.stateDir}.aside`;
    await rename(service.stateDir, aside);
    undo.push(async () => {
      if (await stat(aside).catch(() => undefined)) {
        await rm(service.stateDir, { recursive: true, force: true });
        await rename(aside, service.stateDir);
      }
    });
    await expectRefusedAndUnaffected(pid, 'SERVER_RECORDS_GONE');
    // With the records gone, nobody could tell which processes to end.
    expect(await service.stop('MAM', 0)).toMatchObject({
      status: 500,
      body: { code: 'STATE_WRITE_FAILED' },
    });
    expect(await service.placements()).toEqual(['MAM@0:RUNNING']);
    await rename(aside, service.stateDir);
    await expectAllIsWellAgain();
  });

  (canMount ? it : it.skip)('is full: the same, and all is well again when there is room', async () => {
    const pid = await bootWithMam((directory) => [
      ...['unshare', '-m', 'sh', '-c'],
      `mkdir -p ${directory} && mount -t tmpfs -o size=256k none ${directory} && exec "$@"`,
      'sh',
    ]);
    undo.push(() => {
      killGroup(pid);
      return Promise.resolve();
    });
    // The service's own view of its mount.
    const fillers = ['one', 'two'].map((name) =>
      join(`/proc/${service.pid}/root`, service.stateDir, `filler-${name}`),
    );
    for (const filler of fillers) {
      await writeFile(filler, Buffer.alloc(1_000_000)).catch((error: unknown) => {
        expect(error).toMatchObject({ code: 'ENOSPC' });
      });
      // A file that was being written meanwhile leaves room when it fails.
      await sleep(300);
    }
    await expectRefusedAndUnaffected(pid);
    // The end of the server itself makes room, for its record goes: the state may be saved by then.
    await expectStoppedAllTheSame(false, async () => {
      for (const filler of fillers) await rm(filler);
    });
    await expectAllIsWellAgain();
  });
});

/** Servers on record in a directory that only the service sees. */
function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended already.
  }
}
