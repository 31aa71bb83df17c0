import { expect, it, jest } from '@jest/globals';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { containersOf, docker } from '../support/docker.js';
import {
  boot,
  containerName,
  errorOf,
  loadsOf,
  mic,
  servedAt,
  useRealTriton,
  withEngine,
} from './triton-rig.js';

jest.setTimeout(180_000);
useRealTriton();

withEngine('kill -9 of the service, with real Triton', () => {
  it('F1: while a model is STARTING: it becomes RUNNING, with one container and one load', async () => {
    await boot();
    await mic.start('FastFitAll', 0);
    await mic.until(async () => (await mic.tritonIndex()).some(({ state }) => state === 'LOADING'));
    await mic.end('SIGKILL');
    await mic.boot();
    await mic.untilRunning('FastFitAll@0');
    expect(await containersOf(mic.instanceName)).toHaveLength(1);
    expect(await loadsOf('FastFitAll')).toBe(1);
  });

  it('F3: in the middle of a stop: the stop is completed, and nothing is left', async () => {
    await boot();
    await mic.start('MAM', 0);
    await mic.start('SlowInfer', 1);
    await mic.untilRunning('MAM@0', 'SlowInfer@1');
    void mic.stop('MAM', 0);
    void mic.stop('SlowInfer', 1);
    await mic.until(async () => (await mic.desired()).length === 0);
    await mic.end('SIGKILL');
    await mic.boot();
    await mic.until(async () => (await containersOf(mic.instanceName)).length === 0, 60_000);
    await mic.until(async () => (await mic.placements()).length === 0);
  });
});

withEngine('F4: real Triton dies', () => {
  it('with two models on several GPUs: seen within 1 s, and RUNNING again with one load each', async () => {
    await boot();
    await mic.start('MAM', 0);
    await mic.start('SlowInfer', 1);
    await mic.start('MAM', 2);
    await mic.untilRunning('MAM@0', 'MAM@2', 'SlowInfer@1');
    const [before] = await containersOf(mic.instanceName);
    await docker.getContainer(before?.Id ?? '').kill();
    await mic.until(
      async () => (await mic.placements()).every((placement) => placement.endsWith('STARTING')),
      1000,
    );
    await mic.untilRunning('MAM@0', 'MAM@2', 'SlowInfer@1');
    const after = await containersOf(mic.instanceName);
    expect(after).toHaveLength(1);
    expect(after[0]?.Id).not.toBe(before?.Id);
    expect([await loadsOf('MAM'), await loadsOf('SlowInfer')]).toEqual([1, 1]);
    expect(await servedAt(mic.tritonPorts.http)).toEqual(['MAM@0', 'MAM@2', 'SlowInfer@1']);
  });

  it('again and again: is brought back ever more rarely, then its model is an ERROR that says how it died', async () => {
    await boot({}, { restart: { initial_delay_ms: 200, max_attempts: 2 } });
    await mic.start('MAM', 0);
    const killed: number[] = [];
    const seen = new Set<string>();
    await mic.until(async () => {
      for (const { Id, State } of await containersOf(mic.instanceName)) {
        if (State !== 'running' || seen.has(Id)) continue;
        seen.add(Id);
        killed.push(performance.now());
        await docker.getContainer(Id).kill();
      }
      return (await errorOf('MAM')) !== undefined;
    }, 60_000);
    expect(killed).toHaveLength(3);
    const [first = 0, second = 0, third = 0] = killed;
    expect(third - second).toBeGreaterThan(second - first);
    expect((await errorOf('MAM'))?.message).toMatch(/exit code 137/);
  });
});

withEngine('F7: loads of real Triton fail', () => {
  it('are ERROR in its words; the other model serves on; each starts after its repair', async () => {
    await boot();
    await mic.start('MAM', 0);
    await mic.untilRunning('MAM@0');
    const file = (...path: string[]): string => join(mic.repository, ...path);
    const template = await readFile(file('HungLoad/config.pbtxt.template'), 'utf8');
    await writeFile(
      file('HungLoad/config.pbtxt.template'),
      template.replace('max_batch_size: 0', 'max_batch_size: "many"'),
    );
    // Its version; of a missing model.py alone, Triton's Python backend says so after 30 s.
    await rm(file('SlowInfer/1'), { recursive: true });
    const answers: number[] = [];
    const over = new AbortController();
    const client = (async () => {
      while (!over.signal.aborted) answers.push((await mic.infer('MAM', [1, 2, 3, 4])).status);
    })();
    try {
      for (const [index, model] of ['Broken', 'SlowInfer', 'HungLoad'].entries()) {
        expect((await mic.start(model, index + 1)).status).toBe(202);
      }
      // A Python error, a file that is missing, a configuration that is broken.
      expect((await mic.untilError('Broken', 30_000)).message).toContain('its weights are missing');
      const missing = await mic.untilError('SlowInfer', 30_000);
      expect(missing.message).toMatch(/^Triton could not load SlowInfer: .+/);
      expect(missing.log?.join('\n')).toMatch(/SlowInfer.*version/);
      const broken = await mic.untilError('HungLoad', 30_000);
      expect(broken.message).toMatch(/^Triton could not load HungLoad: .+/);
      expect(broken.log?.join('\n')).toContain('Expected integer, got: "many"');
      expect(await mic.placements()).toEqual(['MAM@0:RUNNING']);

      for (const model of ['Broken', 'SlowInfer', 'HungLoad']) {
        await cp(file('MAM/1'), file(model, '1'), { recursive: true });
      }
      await writeFile(file('HungLoad/config.pbtxt.template'), template);
      for (const [index, model] of ['Broken', 'SlowInfer', 'HungLoad'].entries()) {
        expect((await mic.start(model, index + 1)).body).toMatchObject({ status: 'STARTING' });
      }
      await mic.untilRunning('Broken@1', 'HungLoad@3', 'MAM@0', 'SlowInfer@2');
    } finally {
      over.abort();
      await client;
    }
    expect((await mic.infer('Broken', [1, 2, 3, 4])).output).toEqual([3, 5, 7, 9]);
    expect(await loadsOf('MAM')).toBe(1);
    expect(new Set(answers)).toEqual(new Set([200]));
    expect(await containersOf(mic.instanceName)).toHaveLength(1);
  });
});

withEngine('F8: a load of real Triton hangs', () => {
  it('is an ERROR at api_timeout_seconds; others on the same server start and stop all the same', async () => {
    await boot({ api_timeout_seconds: 6 });
    await mic.start('HungLoad', 0);
    await mic.until(async () => (await mic.tritonIndex()).some(({ state }) => state === 'LOADING'));
    await mic.start('MAM', 1);
    await mic.until(async () => (await mic.placements()).includes('MAM@1:RUNNING'));
    await mic.until(async () => (await errorOf('HungLoad')) !== undefined, 15_000);
    expect(await errorOf('HungLoad')).toMatchObject({
      code: 'BACKEND_TIMEOUT',
      message: expect.stringContaining('within 6 s'),
    });
    await mic.start('SlowInfer', 2);
    await mic.until(async () => (await mic.placements()).includes('SlowInfer@2:RUNNING'), 20_000);
    expect((await mic.stop('SlowInfer', 2)).status).toBe(200);
    expect((await mic.infer('MAM', [1, 2, 3, 4])).output).toEqual([3, 5, 7, 9]);
    expect(await containersOf(mic.instanceName)).toHaveLength(1);
  });
});

withEngine('F15: 200 commands at once, real Triton', () => {
  it('are all answered; status, desired state and index agree, and no container is left over', async () => {
    await boot({
      model_gpu_configs: { default: { instances_per_gpu: 1 }, SlowInfer: { use_dedicated_server: true } },
    });
    const models = ['MAM', 'FastFitAll', 'SlowInfer'];
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, index) => {
        const model = models[index % models.length] ?? 'MAM';
        const gpu = Math.trunc(index / models.length) % 4;
        return index % 5 < 3 ? mic.start(model, gpu) : mic.stop(model, gpu);
      }),
    );
    expect(answers.filter(({ status }) => ![200, 202, 404].includes(status))).toEqual([]);
    const desired = await mic.desired();
    await mic.until(
      async () =>
        (await mic.placements()).join() === desired.map((placement) => `${placement}:RUNNING`).join(),
      120_000,
    );
    const own = desired.filter((placement) => placement.startsWith('SlowInfer@'));
    const shared = desired.filter((placement) => !own.includes(placement));
    if (shared.length > 0) expect(await servedAt(mic.tritonPorts.http)).toEqual(shared);
    if (own[0] !== undefined) {
      // A start of what runs changes nothing, and tells the port.
      const { port } = (await mic.start('SlowInfer', Number(own[0].split('@')[1]))).body;
      expect(await servedAt(Number(port))).toEqual(own);
    }
    const expected = [
      ...(shared.length > 0 ? [`/${containerName()}`] : []),
      ...(own.length > 0 ? [`/${containerName()}_SlowInfer`] : []),
    ];
    expect((await containersOf(mic.instanceName)).flatMap(({ Names }) => Names).sort()).toEqual(expected);
  });
});
