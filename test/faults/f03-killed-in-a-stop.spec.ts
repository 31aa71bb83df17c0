import { afterEach, describe, expect, it } from '@jest/globals';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { isAlive, processIdentity } from '../../src/host/process-identity.js';
import { TestService } from '../support/service.js';

let service: TestService;

afterEach(() => service.dispose());

async function boot(): Promise<void> {
  service = await TestService.create({
    models: { MAM: { load_seconds: 0.1, unload_seconds: 1 }, FastFitAll: { load_seconds: 0.1 } },
    triton: { exit_timeout_seconds: 3 },
  });
  await service.boot();
}

const configOf = (model: string): Promise<void> => access(join(service.repository, model, 'config.pbtxt'));

describe('F3: kill -9 of the service in the middle of a stop', () => {
  it('the stop of the last model is completed after the restart: no server, nothing wanted', async () => {
    await boot();
    await service.start('MAM', 0);
    await service.start('MAM', 1);
    await service.untilRunning('MAM@0', 'MAM@1');
    const [pid = 0] = await service.serverPids();
    const server = await processIdentity(pid);
    if (!server) throw new Error('the server does not run');
    const stops = [service.stop('MAM', 0), service.stop('MAM', 1)];
    await service.until(async () => (await service.desired()).length === 0);
    await service.end('SIGKILL');
    expect((await Promise.all(stops)).map(({ status }) => status)).toEqual([0, 0]);
    await service.boot();
    await service.until(async () => (await service.placements()).length === 0);
    await service.until(async () => !(await isAlive(server)));
    await service.until(async () => (await service.serverPids()).length === 0);
    await expect(configOf('MAM')).rejects.toThrow('ENOENT');
    expect((await service.get('/api/v1/models/status/MAM')).status).toBe(404);
  });

  it('of one of two models: that one is gone, and the other serves on in the same server', async () => {
    await boot();
    await service.start('MAM', 0);
    await service.start('FastFitAll', 1);
    await service.untilRunning('FastFitAll@1', 'MAM@0');
    const pids = await service.serverPids();
    const stop = service.stop('MAM', 0);
    await service.until(async () => (await service.tritonIndex()).some(({ state }) => state === 'UNLOADING'));
    await service.end('SIGKILL');
    await stop;
    await service.boot();
    await service.untilRunning('FastFitAll@1');
    await service.until(async () =>
      (await service.tritonIndex()).every(({ name, state }) => name !== 'MAM' || state !== 'READY'),
    );
    await service.until(() =>
      configOf('MAM').then(
        () => false,
        () => true,
      ),
    );
    expect(await service.serverPids()).toEqual(pids);
    expect((await service.infer('FastFitAll', [1, 2, 3, 4])).status).toBe(200);
    expect((await service.infer('MAM', [1, 2, 3, 4])).status).not.toBe(200);
  });
});
