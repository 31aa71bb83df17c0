import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TestService } from '../support/service.js';

jest.setTimeout(120_000);

const isPossible = process.platform === 'linux' && process.getuid?.() === 0;
const FILLER = 'filler';

let service: TestService;
let disks: string[] = [];

/** A disk of its own, as small as can be. */
function mountDisk(directory: string): void {
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'disk', directory]);
  disks.push(directory);
}

/** Not a byte is left. */
function fill(disk: string): void {
  writeFileSync(join(disk, FILLER), '');
  for (const bytes of [4096, 1])
    for (;;) {
      try {
        appendFileSync(join(disk, FILLER), Buffer.alloc(bytes, 'x'));
      } catch (error) {
        expect(error).toMatchObject({ code: 'ENOSPC' });
        break;
      }
    }
}

afterEach(async () => {
  // A mount cannot be removed: what is left is, once they are gone.
  await service.dispose().catch(() => undefined);
  for (const disk of disks) execFileSync('umount', ['--lazy', disk]);
  disks = [];
  rmSync(service.directory, { recursive: true, force: true });
});

async function create(): Promise<void> {
  const fast = { load_seconds: 0.1 };
  service = await TestService.create({ process: true, models: {} });
  for (const directory of [service.stateDir, service.repository]) {
    mkdirSync(directory, { recursive: true });
    mountDisk(directory);
  }
  for (const model of ['MAM', 'SlowInfer']) await service.writeModel(model, fast);
  await service.configure({
    runners: {
      triton: {
        supported_models: ['MAM', 'SlowInfer'],
        model_gpu_configs: { SlowInfer: { use_dedicated_server: true } },
      },
    },
  });
  await service.boot();
}

(isPossible ? describe : describe.skip)('disks of the state and of the models, full to the last byte', () => {
  it('a model is taken from one GPU, goes on on the others, and then altogether', async () => {
    await create();
    for (const gpu of [0, 1, 2]) await service.start('MAM', gpu);
    await service.start('SlowInfer', 0);
    await service.untilRunning('MAM@0', 'MAM@1', 'MAM@2', 'SlowInfer@0');
    for (const disk of disks) fill(disk);
    const refused = await service.start('MAM', 3);
    expect(refused.status).toBe(500);

    expect((await service.stop('MAM', 1)).status).toBe(200);
    await service.untilRunning('MAM@0', 'MAM@2', 'SlowInfer@0');
    expect((await service.stop('MAM', 0)).status).toBe(200);
    await service.untilRunning('MAM@2', 'SlowInfer@0');
    const [, dedicated = 0] = await service.serverPids();
    const ended = await service.call('DELETE', `/api/v1/processes/${dedicated}`);
    expect([ended.status, ended.body.status]).toEqual([200, 'killed']);
    expect((await service.stop('MAM', 2)).status).toBe(200);
    expect((await service.stop('SlowInfer', 0, { force: true })).status).toBeLessThan(500);
    expect(existsSync(join(service.repository, 'MAM/config.pbtxt'))).toBe(false);

    for (const disk of disks) rmSync(join(disk, FILLER));
    await service.until(async () => (await service.desired()).length === 0);
    expect((await service.start('MAM', 3)).status).toBe(202);
    await service.untilRunning('MAM@3');
    expect(await service.end('SIGTERM')).toBe(0);
  });
});
