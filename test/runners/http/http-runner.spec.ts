import { join } from 'node:path';
import { callHttp } from '../../../src/common/http/http-client.js';
import { httpSection } from '../../../src/runners/http/http-section.js';
import { parseOptions } from '../../../src/models/supervisor/start-checks.js';
import { HttpRunner } from '../../../src/runners/http/http-runner.js';
import type { Deployment } from '../../../src/runners/deployment.js';
import { runnerContract } from '../../contracts/runner-contract.js';
import { RunnerRig } from '../../support/runner-rig.js';

const LLAMA = join(process.cwd(), 'test/fakes/llama-server.mjs');
const never = new AbortController().signal;
const context = {
  ...{ signal: never, gpus: [{ id: 0, uuid: 'GPU-0' }], wanted: () => [], onProgress: () => undefined },
  patienceMs: 0,
};

function llama(file: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    command: [process.execPath, LLAMA],
    args: ['--model', file, '--host', '{host}', '--port', '{port}', '--metrics', '--alias', '{option.alias}'],
    env: { GREETING: '{option.alias}', LLAMA_STANDIN_PROCESSING: '2', LLAMA_STANDIN_DEFERRED: '3' },
    health_path: '/health',
    options: { alias: { type: 'string', default: 'x' } },
    drain: { path: '/metrics', metrics: ['llamacpp:requests_processing', 'llamacpp:requests_deferred'] },
    ...more,
  };
}

function runnerOn(rig: RunnerRig, models: Record<string, unknown>): HttpRunner {
  const config = httpSection.parse({
    ...{ enabled: true, launcher: 'process', container_name: 'http_server' },
    ...{ ports: rig.ports, start_timeout_seconds: 10, stop_grace_seconds: 1, models },
  });
  return new HttpRunner(config, rig.host());
}

describe('the http backend keeps the contract of runners', () => {
  runnerContract(async () => {
    const rig = await RunnerRig.create();
    return rig.harness({
      model: 'qwen',
      failing: 'gone',
      endless: 'endless',
      sharesServer: false,
      create: () =>
        runnerOn(rig, {
          qwen: llama('/srv/qwen.gguf', { health_json: { status: 'ok' } }),
          gone: llama('/srv/missing.gguf'),
          endless: llama('/srv/endless.gguf'),
        }),
    });
  }, 20_000);
});

describe('the http backend', () => {
  let rig: RunnerRig;

  beforeEach(async () => {
    rig = await RunnerRig.create();
  });

  afterEach(() => rig.dispose());

  async function standin(port: number | null | undefined): Promise<{ argv: string[]; greeting: string }> {
    const { body } = await callHttp({
      method: 'GET',
      url: `http://127.0.0.1:${port}/standin`,
      signal: AbortSignal.timeout(5000),
    });
    return JSON.parse(body) as { argv: string[]; greeting: string };
  }

  it('hands a hostile option on as one argument and one variable, and no shell sees it', async () => {
    const runner = runnerOn(rig, { qwen: llama('/srv/qwen.gguf') });
    const alias = `; touch ${rig.directory}/owned $(touch ${rig.directory}/owned) "it's" {port}`;
    const deployment: Deployment = {
      modelName: 'qwen',
      gpuIds: [0],
      options: parseOptions(runner, 'qwen', { alias }),
    };
    await runner.start(deployment, context);
    const [{ port } = { port: null }] = await runner.getStatus(deployment, never);
    const { argv, greeting } = await standin(port);
    expect(argv.slice(-2)).toEqual(['--alias', alias]);
    expect(greeting).toBe(alias);
  });

  it('takes the options that the YAML of the model lists, and no other', () => {
    const runner = runnerOn(rig, {
      qwen: llama('/srv/qwen.gguf'),
      plain: llama('/srv/plain.gguf', { args: [], env: {}, options: {} }),
    });
    expect(parseOptions(runner, 'qwen', {})).toEqual({ alias: 'x' });
    expect(() => parseOptions(runner, 'qwen', { alias: '--rpc' })).toThrow(/config\.alias: must not begin/);
    expect(() => parseOptions(runner, 'qwen', { model: '/etc/passwd' })).toThrow(
      /config\.model is no option/,
    );
    expect(() => parseOptions(runner, 'plain', { alias: 'x' })).toThrow(/config\.alias is no option/);
  });

  it('sums the gauges that its YAML names, and has nothing to drain without', async () => {
    const runner = runnerOn(rig, {
      qwen: llama('/srv/qwen.gguf'),
      silent: llama('/srv/silent.gguf', { drain: undefined }),
    });
    for (const modelName of ['qwen', 'silent']) {
      await runner.start({ modelName, gpuIds: [0], options: {} }, context);
    }
    const workload = (modelName: string) =>
      runner.workload({ modelName, gpuIds: [], options: {} }, [0], never);
    expect(await workload('qwen')).toEqual({ open: 5, finished: 0 });
    expect(await workload('silent')).toBeNull();
    expect(runner.cannotDrain('qwen')).toBeUndefined();
    expect(runner.cannotDrain('silent')).toMatch(/give runners\.http\.models\.silent a drain/);
  });

  it('waits for the JSON that its YAML wants, and says at the deadline what was missing', async () => {
    const runner = runnerOn(rig, {
      qwen: llama('/srv/qwen.gguf', { health_json: { status: 'fine' }, start_timeout_seconds: 3 }),
      lost: llama('/srv/qwen.gguf', { health_path: '/nowhere', start_timeout_seconds: 3 }),
    });
    const start = (modelName: string) => runner.start({ modelName, gpuIds: [0], options: {} }, context);
    const ends = [start('qwen'), start('lost')];
    await Promise.allSettled(ends);
    await expect(ends[0]).rejects.toThrow('last answer: GET /health does not say status: "fine".');
    await expect(ends[1]).rejects.toThrow('last answer: GET /nowhere answered 404.');
  });

  it('stops what it started after the configuration has dropped the model', async () => {
    const before = runnerOn(rig, { qwen: llama('/srv/qwen.gguf') });
    await before.start({ modelName: 'qwen', gpuIds: [0], options: {} }, context);
    await rig.closeLaunchers();
    const after = runnerOn(rig, { other: llama('/srv/other.gguf') });
    const [found] = await after.findUnneeded([], never);
    expect(found).toMatchObject({ serverName: 'http_server_qwen_0' });
    if (!found) throw new Error('not found');
    expect(await after.removeUnneeded(found, () => [], 'polite', never)).toBe(true);
    expect(await after.findUnneeded([], never)).toEqual([]);
  });
});
