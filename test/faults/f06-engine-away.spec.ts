import { afterEach, describe, expect, it } from '@jest/globals';
import { DockerTestService } from '../support/docker-service.js';

let house: DockerTestService;

afterEach(() => house.dispose());

async function boot(): Promise<DockerTestService> {
  house = await DockerTestService.boot({
    models: { MAM: { load_seconds: 0.1 }, FastFitAll: { load_seconds: 0.1 } },
    config: {
      health: { fast_interval_ms: 50, slow_interval_ms: 150, probe_timeout_ms: 500 },
    },
  });
  await house.service.start('MAM', 0);
  await house.service.untilRunning('MAM@0');
  return house;
}

/** Holds for so long that every probe of that time has had its say. */
async function throughout(ms: number, check: () => Promise<void>): Promise<void> {
  const end = performance.now() + ms;
  await house.service.until(async () => {
    await check();
    return performance.now() > end;
  });
}

describe('F6: the Docker Engine goes away', () => {
  it('Triton goes on: RUNNING by its own word; reads are answered at once, a start is refused with the reason', async () => {
    const { service, gate, engine } = await boot();
    const before = engine.running();
    await gate.shut();
    await throughout(1500, async () => {
      const asked = performance.now();
      expect(await service.placements()).toEqual(['MAM@0:RUNNING']);
      expect((await service.get('/api/v1/gpus')).status).toBe(200);
      expect(performance.now() - asked).toBeLessThan(1000);
    });
    expect(await service.start('FastFitAll', 1)).toMatchObject({
      status: 500,
      body: {
        code: 'DOCKER_UNAVAILABLE',
        detail: expect.stringMatching(/^Cannot connect to the Docker daemon/),
      },
    });
    expect(await service.desired()).toEqual(['MAM@0']);
    await gate.open();
    await service.until(async () => (await service.start('FastFitAll', 1)).status === 202);
    await service.untilRunning('FastFitAll@1', 'MAM@0');
    expect(engine.running()).toEqual(before);
    expect((await service.stop('MAM', 0)).status).toBe(200);
    expect((await service.stop('FastFitAll', 1)).status).toBe(200);
    expect(engine.running()).toEqual([]);
    expect([...engine.fake.containers]).toEqual([]);
  });

  it('Triton dies meanwhile: RUNNING ends, the status says what it waits for, and all is back when the Engine is', async () => {
    const { service, gate, engine } = await boot();
    const id = engine.running()[0]?.[0] ?? '';
    await gate.shut();
    await engine.kill(id);
    await service.until(async () => (await service.placements()).join() === 'MAM@0:STARTING', 3000);
    await service.until(async () =>
      (await house.progressOf('MAM')).includes('Cannot connect to the Docker daemon'),
    );
    // However long that takes: no try is counted while nobody can be asked.
    await throughout(1500, async () => {
      expect(await service.placements()).toEqual(['MAM@0:STARTING']);
    });
    await gate.open();
    await service.untilRunning('MAM@0');
    expect(engine.running()).toHaveLength(1);
    expect(engine.fake.containers.size).toBe(1);
    expect((await service.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
  });

  it('its event stream breaks: nothing changes, and the next death is seen all the same', async () => {
    const { service, engine } = await boot();
    await service.until(() => Promise.resolve(engine.fake.listeners > 0));
    engine.fake.breakStreams();
    await throughout(500, async () => {
      expect(await service.placements()).toEqual(['MAM@0:RUNNING']);
    });
    await service.until(() => Promise.resolve(engine.fake.listeners > 0));
    const id = engine.running()[0]?.[0] ?? '';
    await engine.kill(id);
    await service.until(async () => (await service.placements()).join() === 'MAM@0:STARTING', 1000);
    await service.untilRunning('MAM@0');
    expect(engine.running()).toHaveLength(1);
  });

  it('the service is restarted while it is away: nothing is RUNNING on hearsay, nor started twice', async () => {
    const { service, gate, engine } = await boot();
    const before = engine.running();
    await gate.shut();
    await service.end('SIGKILL');
    await service.boot();
    await throughout(1000, async () => {
      expect(await service.placements()).toEqual(['MAM@0:STARTING']);
    });
    await gate.open();
    await service.untilRunning('MAM@0');
    expect(engine.running()).toEqual(before);
    expect(engine.fake.containers.size).toBe(1);
  });
});
