import { afterEach, describe, expect, it } from '@jest/globals';
import { processesOf } from '../support/processes.js';
import { TestService } from '../support/service.js';

let service: TestService | undefined;

afterEach(async () => {
  await service?.dispose();
  service = undefined;
});

const MODELS = {
  MAM: { load_seconds: 0.2 },
  Slow: { load_seconds: 2.5 },
  Own: { load_seconds: 0.2 },
  Leaving: { load_seconds: 0.1, unload_seconds: 2.5 },
};

/** Every kind of work at once: serving, loading, being unloaded, a server of its own. Says what waits for an answer. */
async function busy(config: Record<string, unknown>): Promise<[TestService, Promise<unknown>]> {
  const made = await TestService.create({
    process: true,
    models: MODELS,
    config,
    triton: {
      model_gpu_configs: {
        default: { instances_per_gpu: 1 },
        Own: { use_dedicated_server: true },
      },
    },
  });
  service = made;
  await made.boot();
  for (const [model, gpu] of [
    ['MAM', 0],
    ['Own', 1],
    ['Leaving', 2],
  ] as const)
    await made.start(model, gpu);
  await made.untilRunning('MAM@0', 'Own@1', 'Leaving@2');
  await made.start('Slow', 3);
  const stopping = made.stop('Leaving', 2);
  await made.until(async () => {
    const states = (await made.tritonIndex()).map(({ name, state }) => `${name} ${state}`);
    return states.includes('Slow LOADING') && states.includes('Leaving UNLOADING');
  });
  return [made, stopping];
}

const SHUTTING_DOWN = { status: 503, body: { code: 'SHUTTING_DOWN' } };

describe('SIGTERM in the middle of starts and stops', () => {
  it('by default ends the service alone; the next run takes up where it was', async () => {
    const [made, stopping] = await busy({});
    const pids = await made.serverPids();
    const begun = performance.now();
    expect(await made.end('SIGTERM')).toBe(0);
    expect(performance.now() - begun).toBeLessThan(10_000);
    expect(await stopping).toMatchObject(SHUTTING_DOWN);
    expect((await made.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
    await made.boot();
    await made.untilRunning('MAM@0', 'Own@1', 'Slow@3');
    expect(await made.serverPids()).toEqual(pids);
    expect(await made.desired()).toEqual(['MAM@0', 'Own@1', 'Slow@3']);
  });

  it('with policy stop takes every server with it, however often it is told; what was wanted comes back', async () => {
    const [made, stopping] = await busy({ shutdown: { policy: 'stop', stop_timeout_seconds: 20 } });
    expect(await processesOf(made.stateDir)).toHaveLength(2);
    const begun = performance.now();
    const ended = made.end('SIGTERM');
    process.kill(made.pid, 'SIGTERM');
    process.kill(made.pid, 'SIGINT');
    // Still there for those who read, and taking no more commands once the signal has arrived.
    await made.until(async () => (await made.get('/health/ready')).status === 503);
    expect(await made.start('MAM', 1)).toMatchObject(SHUTTING_DOWN);
    expect(await made.placements()).not.toContain('MAM@0:RUNNING');
    expect(await ended).toBe(0);
    expect(performance.now() - begun).toBeLessThan(30_000);
    expect(await stopping).toMatchObject(SHUTTING_DOWN);
    expect(await processesOf(made.stateDir)).toEqual([]);
    expect(await made.serverPids()).toEqual([]);
    expect(await made.desired()).toEqual(['MAM@0', 'Own@1', 'Slow@3']);
    await made.boot();
    await made.untilRunning('MAM@0', 'Own@1', 'Slow@3');
  });

  it('with policy stop ends by force, at the deadline, a server that does not heed SIGTERM', async () => {
    service = await TestService.create({
      process: true,
      models: { Stubborn: { load_seconds: 0.1, exit_ignore_sigterm: true } },
      config: { shutdown: { policy: 'stop', stop_timeout_seconds: 1 } },
    });
    await service.boot();
    await service.start('Stubborn', 0);
    await service.untilRunning('Stubborn@0');
    const begun = performance.now();
    expect(await service.end('SIGTERM')).toBe(0);
    expect(performance.now() - begun).toBeGreaterThan(1000);
    expect(performance.now() - begun).toBeLessThan(11_000);
    expect(await processesOf(service.stateDir)).toEqual([]);
    expect(service.log).toContain('what is left is ended by force');
  });

  it('with policy stop says so, and ends with an error, when it cannot tell what is left', async () => {
    service = await TestService.create({
      process: true,
      config: {
        server: { shutdown_timeout_seconds: 2 },
        shutdown: { policy: 'stop', stop_timeout_seconds: 1 },
        launchers: { docker: { socket_path: '/nowhere/docker.sock' } },
      },
      triton: { launcher: 'docker', image_name: 'none', ulimits: [] },
    });
    await service.configureServer({ port: service.port });
    await service.boot();
    const begun = performance.now();
    expect(await service.end('SIGTERM')).toBe(1);
    expect(performance.now() - begun).toBeLessThan(4000);
    expect(service.log).toContain('Not every server could be stopped with this service');
    expect(service.log).toContain('Cannot connect to the Docker daemon');
  });
});
