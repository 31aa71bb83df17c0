import { afterEach, describe, expect, it } from '@jest/globals';
import { join } from 'node:path';
import { freePorts } from '../support/ports.js';
import { TestService } from '../support/service.js';

const fake = (name: string): string => join(process.cwd(), 'test/fakes', name);

let service: TestService;

/** The service with these models of the http backend, as processes. */
async function boot(models: Record<string, unknown>): Promise<void> {
  const [port = 0] = await freePorts(1);
  const from = Math.min(port, 32_700);
  service = await TestService.create({
    runners: {
      http: { launcher: 'process', ports: { from, to: from + 20 }, stop_grace_seconds: 10, models },
    },
  });
  await service.boot();
}

async function started(model: string): Promise<number> {
  await service.start(model, 0);
  await service.untilRunning(`${model}@0`);
  const { body } = await service.start(model, 0);
  return (body as unknown as { port: number }).port;
}

afterEach(() => service.dispose());

describe('F33: a polite stop of a server of several processes', () => {
  it('loses no request, and leaves no process', async () => {
    const command = [process.execPath, fake('workers-server.mjs')];
    await boot({
      waits: { command, args: ['{port}', 'waits', 'die'], health_path: '/work' },
      dies: { command, args: ['{port}', 'dies', 'die'], health_path: '/work' },
    });
    for (const model of ['waits', 'dies']) {
      const port = await started(model);
      const requests = Array.from({ length: 10 }, () =>
        fetch(`http://127.0.0.1:${port}/work?ms=2000`, { headers: { Connection: 'close' } }).then(
          ({ status }) => status,
          () => 0,
        ),
      );
      await new Promise((resolve) => setTimeout(resolve, 500));
      const begin = performance.now();
      expect((await service.stop(model, 0)).status).toBe(200);
      expect(performance.now() - begin).toBeLessThan(8000);
      expect(await Promise.all(requests)).toEqual(Array.from({ length: 10 }, () => 200));
      expect(await service.serverPids()).toEqual([]);
    }
  });
});

/** Each model is started, and its stop says that it was not drained, and why. */
async function stopUndrained(reasons: readonly (readonly [model: string, reason: RegExp])[]): Promise<void> {
  for (const [model, reason] of reasons) {
    await started(model);
    expect(await service.stop(model, 0)).toMatchObject({
      status: 200,
      body: { status: 'STOPPED', drained: false, drain_reason: expect.stringMatching(reason) },
    });
  }
}

describe('F34: a drain that cannot work', () => {
  it('is a warning at boot where the file tells, and said with its reason in the answer to the stop', async () => {
    const llama = {
      ...{ command: [process.execPath, fake('llama-server.mjs')], health_path: '/health' },
      args: ['--model', '/srv/qwen.gguf', '--host', '{host}', '--port', '{port}', '--metrics'],
      drain_seconds: 2,
    };
    const metrics = ['llamacpp:requests_processing', 'llamacpp:requests_deferred'];
    await boot({
      without: llama,
      astray: { ...llama, drain: { path: '/nowhere', metrics } },
      unnamed: { ...llama, drain: { path: '/metrics', metrics: ['llamacpp:no_such_gauge'] } },
      busy: {
        ...llama,
        env: { LLAMA_STANDIN_PROCESSING: '2', LLAMA_STANDIN_DEFERRED: '3' },
        drain: { path: '/metrics', metrics },
      },
    });
    await service.until(() => Promise.resolve(service.log.includes('has no effect')));
    expect(service.log).toMatch(
      /"level":"warn"[^\n]*drain_seconds of without has no effect\. Nothing says how many requests are open: give runners\.http\.models\.without a drain/,
    );
    expect(service.log.match(/has no effect/g)).toHaveLength(1);
    await stopUndrained([
      ['without', /runners\.http\.models\.without/],
      ['astray', /GET \/nowhere answered 404/],
      ['unnamed', /llamacpp:no_such_gauge/],
      ['busy', /^5 requests were still open when the 2 s of the drain were over\.$/],
    ]);
  });

  it('is not taken for done where one of its metrics is not in what the server says', async () => {
    const gauge = 'llamacpp:requests_processing';
    const llama = {
      ...{ command: [process.execPath, fake('llama-server.mjs')], health_path: '/health' },
      args: ['--model', '/srv/qwen.gguf', '--host', '{host}', '--port', '{port}', '--metrics'],
      drain_seconds: 20,
    };
    await boot({
      mistyped: {
        ...llama,
        env: { LLAMA_STANDIN_PROCESSING: '2' },
        drain: { path: '/metrics', metrics: ['llamacpp:requests_procesing', 'llamacpp:requests_deferred'] },
      },
      finished: { ...llama, drain: { path: '/metrics', metrics: [gauge], finished_metrics: ['nope_total'] } },
      counted: {
        ...{ ...llama, drain_seconds: 2, env: { LLAMA_STANDIN_PROCESSING: '2' } },
        drain: { path: '/metrics', metrics: [gauge, 'llamacpp:nope'] },
      },
    });
    await stopUndrained([
      ['mistyped', /llamacpp:requests_procesing \(is llamacpp:requests_processing meant\?\)\.$/],
      ['finished', /nope_total/],
      // What is counted is waited for all the same.
      ['counted', /^2 requests were still open when the 2 s of the drain were over\.$/],
    ]);
  });

  it('says nothing of it in the answer to a stop without a drain', async () => {
    await boot({
      plain: {
        command: [process.execPath, fake('workers-server.mjs')],
        args: ['{port}', 'dies', 'die'],
        health_path: '/work',
      },
    });
    await started('plain');
    const { body } = await service.stop('plain', 0);
    expect(body).not.toHaveProperty('drained');
    expect(body).not.toHaveProperty('drain_reason');
  });
});
