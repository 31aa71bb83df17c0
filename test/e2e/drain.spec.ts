import { afterEach, describe, expect, it } from '@jest/globals';
import { TestService } from '../support/service.js';

let service: TestService;

afterEach(() => service.dispose());

/** One instance of MAM, which takes `inferMs` for a request; a server that ends gives requests one second. */
async function boot(inferMs: number, triton: Record<string, unknown> = {}): Promise<void> {
  service = await TestService.create({
    models: {
      MAM: { load_seconds: 0.05, infer_ms: inferMs },
      FastFitAll: { load_seconds: 0.05, unload_seconds: 0.05 },
    },
    triton: {
      exit_timeout_seconds: 1,
      model_gpu_configs: { MAM: { instances_per_gpu: 1 }, default: { instances_per_gpu: 1 } },
      ...triton,
    },
    config: { health: { fast_interval_ms: 50, slow_interval_ms: 100 } },
  });
  await service.boot();
  await service.start('MAM', 0);
  await service.untilRunning('MAM@0');
}

/** Requests that Triton has; each ends with its status, 0 where it was cut off. */
async function requests(count: number): Promise<Promise<number>[]> {
  const sent = Array.from({ length: count }, () =>
    service.infer('MAM', [1, 2, 3, 4]).then(
      ({ status }) => status,
      () => 0,
    ),
  );
  await service.until(async () => (await pending()) === count - 1);
  return sent;
}

async function pending(): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${service.tritonPorts.metrics}/metrics`);
  const found = /^nv_inference_pending_request_count\{model="MAM".*\} (\d+)$/m.exec(await response.text());
  return Number(found?.[1]);
}

const elapsed = (since: number): number => performance.now() - since;

describe('a stop with a drain', () => {
  it('lets requests finish that a stop without it cuts off', async () => {
    await boot(900);
    const sent = await requests(4);
    const stopping = service.stop('MAM', 0, { drain_seconds: 20 });
    await service.until(async () => {
      const { body } = await service.get<object[]>('/api/v1/models/status');
      return JSON.stringify(body).includes('waiting until requests are worked off');
    });
    expect(await service.placements()).toEqual(['MAM@0:RUNNING']);
    expect(await Promise.all(sent)).toEqual([200, 200, 200, 200]);
    expect(await stopping).toMatchObject({ status: 200, body: { status: 'STOPPED' } });
    expect(await service.serverPids()).toEqual([]);

    await service.start('MAM', 0);
    await service.untilRunning('MAM@0');
    const cutOff = await requests(4);
    expect(await service.stop('MAM', 0)).toMatchObject({ status: 200 });
    expect(await Promise.all(cutOff)).toContain(0);
  });

  it('lets a request finish that no metric shows, also where another model is stopped meanwhile', async () => {
    await boot(4500);
    await service.start('FastFitAll', 1);
    await service.untilRunning('FastFitAll@1', 'MAM@0');
    const began = performance.now();
    const [sent] = await requests(1);
    const stopping = service.stop('MAM', 0, { drain_seconds: 20 });
    await service.until(async () => {
      const ready = `http://127.0.0.1:${service.tritonPorts.http}/v2/models/MAM/ready`;
      return (await fetch(ready, { headers: { Connection: 'close' } })).status !== 200;
    });
    expect(elapsed(began)).toBeLessThan(4500);
    // The model is being unloaded, its request executes: the server must not end with the other model.
    expect(await service.stop('FastFitAll', 1)).toMatchObject({ status: 200, body: { status: 'STOPPED' } });
    expect(elapsed(began)).toBeLessThan(4500);
    expect(await sent).toBe(200);
    expect(await stopping).toMatchObject({ status: 200 });
    expect(await service.serverPids()).toEqual([]);
  });

  it('keeps the server while another model is stopped', async () => {
    await boot(700, {
      model_gpu_configs: { MAM: { instances_per_gpu: 1, drain_seconds: 20 } },
    });
    await service.start('FastFitAll', 1);
    await service.untilRunning('FastFitAll@1', 'MAM@0');
    const [pid] = await service.serverPids();
    const sent = await requests(4);
    const stopping = service.stop('MAM', 0); // drains, by the configuration
    expect(await service.stop('FastFitAll', 1)).toMatchObject({ status: 200 });
    expect(await service.serverPids()).toEqual([pid]);
    expect(await Promise.all(sent)).toEqual([200, 200, 200, 200]);
    expect((await stopping).status).toBe(200);
    expect(await service.serverPids()).toEqual([]);
  });

  it('goes on at its deadline', async () => {
    await boot(3000);
    const sent = await requests(5);
    const began = performance.now();
    expect((await service.stop('MAM', 0, { drain_seconds: 1 })).status).toBe(200);
    expect(elapsed(began)).toBeGreaterThan(1000);
    expect(elapsed(began)).toBeLessThan(10_000);
    expect(await Promise.all(sent)).toContain(0);
  });

  it('does not wait where Triton has no metrics', async () => {
    await boot(1, { extra_args: ['--allow-metrics=false'] });
    const began = performance.now();
    expect((await service.stop('MAM', 0, { drain_seconds: 600 })).status).toBe(200);
    expect(elapsed(began)).toBeLessThan(10_000);
  });

  it('is completed without it after the service was killed', async () => {
    await boot(2000);
    const sent = await requests(20);
    void service.stop('MAM', 0, { drain_seconds: 600 }).catch(() => undefined);
    await service.until(async () => (await service.desired()).length === 0);
    await service.end('SIGKILL');
    expect(await service.serverPids()).toHaveLength(1);
    await service.boot();
    // The server goes first, then its memory is looked after, then the placement is gone.
    await service.until(async () => (await service.serverPids()).length === 0);
    await service.until(async () => (await service.placements()).length === 0);
    expect(await Promise.all(sent)).toContain(0);
  });
});

describe('a stop by force', () => {
  it('waits for no request, and interrupts a drain', async () => {
    await boot(60_000);
    const sent = await requests(3);
    const began = performance.now();
    const draining = service.stop('MAM', 0, { drain_seconds: 600 });
    await service.until(async () => (await service.desired()).length === 0);
    expect(await service.stop('MAM', 0, { force: true })).toMatchObject({
      status: 200,
      body: { status: 'STOPPED' },
    });
    expect((await draining).status).toBe(200);
    expect(elapsed(began)).toBeLessThan(10_000);
    expect(await Promise.all(sent)).toEqual([0, 0, 0]);
    expect(await service.serverPids()).toEqual([]);
  });

  it('brings back the other models of its server', async () => {
    await boot(60_000);
    await service.start('FastFitAll', 1);
    await service.untilRunning('FastFitAll@1', 'MAM@0');
    const [pid] = await service.serverPids();
    expect((await service.stop('MAM', 0, { force: true })).status).toBe(200);
    await service.until(async () => {
      const [now] = await service.serverPids();
      return now !== undefined && now !== pid;
    });
    await service.untilRunning('FastFitAll@1');
    expect((await service.infer('FastFitAll', [1, 2, 3, 4])).status).toBe(200);
  });
});

describe('a stop that makes no sense', () => {
  it('is refused, and changes nothing', async () => {
    await boot(1);
    for (const manner of [
      { drain_seconds: -1 },
      { drain_seconds: 3601 },
      { drain_seconds: 1.5 },
      { drain_seconds: '5' },
      { drain_seconds: null },
      { drain_seconds: [] },
      { force: 'true' },
      { force: 1 },
      { force: null },
      { force: true, drain_seconds: 0 },
      { force: true, drain_seconds: 5 },
    ]) {
      const answer = await service.stop('MAM', 0, manner);
      expect([manner, answer]).toEqual([
        manner,
        { status: 400, body: { code: 'VALIDATION_FAILED', detail: expect.any(String) as unknown } },
      ]);
    }
    const { body } = await service.stop('MAM', 0, { force: true, drain_seconds: 5 });
    expect(body.detail).toBe('Invalid request: force and drain_seconds do not go together.');
    expect(await service.placements()).toEqual(['MAM@0:RUNNING']);
    expect((await service.stop('MAM', 0, { force: false, drain_seconds: 5 })).status).toBe(200);
  });
});
