import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { containersOf, engineAnswers, removeContainersOf } from '../support/docker.js';
import { createRealTriton } from '../support/real-triton.js';
import type { TestService } from '../support/service.js';

jest.setTimeout(120_000);

/** `SlowInfer` takes 300 ms for a request, on one instance; a Triton that ends gives requests one second. */
const REQUESTS = 12;

let service: TestService;

async function metrics(): Promise<string> {
  return (await fetch(`http://127.0.0.1:${service.tritonPorts.metrics}/metrics`)).text();
}

async function pending(): Promise<number> {
  const found = /^nv_inference_pending_request_count\{model="SlowInfer".*\} (\d+)$/m.exec(await metrics());
  return Number(found?.[1]);
}

/** Requests that Triton has: one executes, the others wait. Each ends with its status, 0 where it was cut off. */
async function requests(count: number): Promise<Promise<number>[]> {
  const sent = Array.from({ length: count }, () =>
    service.infer('SlowInfer', [1, 2, 3, 4]).then(
      ({ status }) => status,
      () => 0,
    ),
  );
  await service.until(async () => (await pending()) >= count - 2);
  return sent;
}

const withEngine = (await engineAnswers()) ? describe : describe.skip;

withEngine('a stop of a model that real Triton is busy with', () => {
  beforeEach(async () => {
    service = await createRealTriton({ exit_timeout_seconds: 1 });
    await service.boot();
    await service.start('SlowInfer', 0);
    await service.untilRunning('SlowInfer@0');
  });
  afterEach(async () => {
    await service.dispose();
    await removeContainersOf(service.instanceName);
  });

  it('cuts requests off without a drain, and none with it', async () => {
    const cutOff = await requests(REQUESTS);
    expect((await service.stop('SlowInfer', 0)).status).toBe(200);
    expect(await Promise.all(cutOff)).toContain(0);

    await service.start('SlowInfer', 0);
    await service.untilRunning('SlowInfer@0');
    const sent = await requests(REQUESTS);
    const stopping = service.stop('SlowInfer', 0, { drain_seconds: 60 });
    expect(await Promise.all(sent)).toEqual(sent.map(() => 200));
    expect(await stopping).toMatchObject({ status: 200, body: { status: 'STOPPED' } });
    expect(await containersOf(service.instanceName)).toEqual([]);
  });

  it('keeps the server for it while another model is stopped', async () => {
    await service.start('MAM', 1);
    await service.untilRunning('MAM@1', 'SlowInfer@0');
    const sent = await requests(REQUESTS);
    const stopping = service.stop('SlowInfer', 0, { drain_seconds: 60 });
    expect((await service.stop('MAM', 1)).status).toBe(200);
    expect(await service.placements()).toEqual(['SlowInfer@0:RUNNING']);
    expect(await Promise.all(sent)).toEqual(sent.map(() => 200));
    expect((await stopping).status).toBe(200);
    expect(await containersOf(service.instanceName)).toEqual([]);
  });

  it('waits for nothing by force, and brings back the other model', async () => {
    await service.start('MAM', 1);
    await service.untilRunning('MAM@1', 'SlowInfer@0');
    const [before] = await containersOf(service.instanceName);
    const sent = await requests(REQUESTS);
    const draining = service.stop('SlowInfer', 0, { drain_seconds: 600 });
    await service.until(async () => !(await service.desired()).includes('SlowInfer@0'));
    expect(await service.stop('SlowInfer', 0, { force: true })).toMatchObject({ status: 200 });
    expect((await draining).status).toBe(200);
    expect(await Promise.all(sent)).toContain(0);
    await service.until(async () => {
      const [now] = await containersOf(service.instanceName);
      return now !== undefined && now.Id !== before?.Id;
    });
    await service.untilRunning('MAM@1');
    expect((await service.infer('MAM', [1, 2, 3, 4])).output).toEqual([3, 5, 7, 9]);
  });
});
