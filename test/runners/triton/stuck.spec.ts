import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Launcher, type LaunchSpec, type ServerInfo } from '../../../src/launchers/launcher.js';
import type { Trouble } from '../../../src/runners/progress.js';
import type { RunnerContext } from '../../../src/runners/runner-context.js';
import { TritonRunner } from '../../../src/runners/triton/triton-runner.js';
import { testConfig } from '../../fakes/house.js';

/** Model → what Triton says of it. */
let states: Map<string, string>;
/** Models whose unload never ends. */
let hanging: Set<string>;
let calls: string[];
let triton: Server;
let host: Host;
let runner: TritonRunner;
let repository: string;

const SERVER = 'shared';

/** One server that a new run replaces as soon as it is ended, on the same ports. */
class Host extends Launcher {
  readonly kind = 'docker';
  runs = 1;
  info: ServerInfo | undefined;
  /** Somebody launches it anew at once. */
  comesBack = false;

  constructor(private readonly port: number) {
    super();
    this.info = this.run();
  }

  /** The next run of it. */
  replace(): void {
    this.runs += 1;
    states.clear();
    hanging.clear();
    this.info = this.run();
  }

  list = () => Promise.resolve(this.info ? [this.info] : []);
  inspect = () => Promise.resolve(this.info);
  stop = () => {
    calls.push(`stop ${this.info?.id ?? 'nothing'}`);
    this.info = undefined;
    if (this.comesBack) this.replace();
    return Promise.resolve();
  };
  check = () => Promise.resolve();
  launch = (_spec: LaunchSpec) => {
    calls.push('launch');
    this.replace();
    return Promise.resolve(this.info ?? this.run());
  };
  logs = () => Promise.resolve([]);
  serverOf = () => Promise.resolve(undefined);
  onExit = () => () => undefined;
  close = () => Promise.resolve();

  private run(): ServerInfo {
    const labels: Record<string, string> = { 'model-inference-client.backend': 'triton' };
    for (const kind of ['http', 'grpc', 'metrics'])
      labels[`model-inference-client.triton.${kind}-port`] = String(this.port);
    const { runs } = this;
    const facts = { running: true, pid: 4000 + runs, startedAt: null, exitCode: null };
    return { id: `c${runs}`, name: SERVER, labels, ...facts };
  }
}

beforeEach(async () => {
  states = new Map();
  hanging = new Set();
  calls = [];
  triton = createServer((request, response) => {
    const url = request.url ?? '';
    const say = (status: number, body: unknown) => response.writeHead(status).end(JSON.stringify(body));
    const [, model = '', verb] = /models\/(\w+)\/(load|unload|ready|config)$/.exec(url) ?? [];
    if (url === '/v2/health/live') say(200, {});
    else if (url === '/v2/repository/index')
      say(
        200,
        [...states].map(([name, state]) => ({ name, version: '1', state })),
      );
    else if (verb === 'unload') {
      calls.push(`unload ${model}`);
      states.set(model, hanging.has(model) ? 'UNLOADING' : 'UNAVAILABLE');
      say(200, {});
    } else if (verb === 'load') {
      calls.push(`load ${model}`);
      states.set(model, 'READY');
      say(200, {});
    } else if (verb !== undefined && states.get(model) === 'READY') say(200, {});
    else say(400, { error: 'no' });
  }).listen(0, '127.0.0.1');
  await once(triton, 'listening');
  const { port } = triton.address() as AddressInfo;
  repository = await mkdtemp(join(tmpdir(), 'mic-stuck-'));
  for (const model of ['A', 'B']) {
    await mkdir(join(repository, model, '1'), { recursive: true });
    await writeFile(
      join(repository, model, 'config.pbtxt.template'),
      `name: "${model}"\nbackend: "python"\n`,
    );
  }
  host = new Host(port);
  const config = {
    ...testConfig().runners.triton,
    container_name: SERVER,
    ...{ http_port: port, grpc_port: port, metrics_port: port },
    api_timeout_seconds: 1,
    model_repository_host_path: repository,
    supported_models: ['A', 'B'],
    model_gpu_configs: { default: {} },
  } as ConstructorParameters<typeof TritonRunner>[0];
  const launchers = { get: () => host, peek: () => host };
  const isPortTaken = (): Promise<boolean> => Promise.resolve(false);
  runner = new TritonRunner(config, { launchers, isPortTaken, pullTimeoutSeconds: 0 });
});

afterEach(async () => {
  triton.closeAllConnections();
  triton.close();
  await rm(repository, { recursive: true, force: true });
});

const deploymentOf = (modelName: string) => ({
  modelName,
  gpuIds: [0],
  options: { instances_per_gpu: 1 },
});

let told: string[];
function context(): RunnerContext {
  told = [];
  return {
    signal: AbortSignal.timeout(30_000),
    gpus: [{ id: 0, uuid: null }],
    wanted: () => [deploymentOf('A'), deploymentOf('B')],
    onProgress: (words) => told.push(words),
  };
}

const endStuck = (model: string, trouble: Omit<Trouble, 'words'>) =>
  runner.endStuck(deploymentOf(model), { words: 'it is stuck', ...trouble }, context());

describe('what does not get on, on a server that models share', () => {
  beforeEach(() => {
    states.set('A', 'READY').set('B', 'READY');
  });

  it.each(['failing', 'stalled', 'blind'] as const)(
    'is left alone where another run of the server is there by now (%s)',
    async (kind) => {
      host.replace();
      states.set('B', 'LOADING');
      expect(await endStuck('A', { kind, run: 'c1' })).toBe('nothing');
      expect(calls).toEqual([]);
      expect(host.info?.id).toBe('c2');
    },
  );

  it.each(['failing', 'stalled', 'blind'] as const)(
    'is left alone where its server has ended since (%s)',
    async (kind) => {
      host.info = undefined;
      expect(await endStuck('A', { kind, run: 'c1' })).toBe('nothing');
      expect(calls).toEqual([]);
    },
  );

  it('is unloaded alone where that works', async () => {
    expect(await endStuck('A', { kind: 'stalled', run: 'c1' })).toBe('model');
    expect(calls).toEqual(['unload A']);
  });

  it('ends its server once, whoever finds it first: the run that follows is for all', async () => {
    hanging.add('A').add('B');
    host.comesBack = true;
    const run = 'c1';
    const ended = await Promise.all([
      endStuck('A', { kind: 'stalled', run }),
      endStuck('B', { kind: 'stalled', run }),
    ]);
    expect(calls.filter((call) => call.startsWith('stop'))).toEqual(['stop c1']);
    expect(ended.toSorted()).toEqual(['nothing', 'server']);
  });

  it('ends a blind server once', async () => {
    host.comesBack = true;
    const run = 'c1';
    const ended = await Promise.all([
      endStuck('A', { kind: 'blind', run }),
      endStuck('B', { kind: 'blind', run }),
    ]);
    expect(calls).toEqual(['stop c1']);
    expect(ended.toSorted()).toEqual(['nothing', 'server']);
  });
});

describe('a model that Triton is still unloading, though it is wanted', () => {
  beforeEach(() => {
    states.set('A', 'UNLOADING').set('B', 'READY');
  });

  const start = () => runner.start(deploymentOf('A'), context());

  it('is absent, with the words: it is to be started, and not waited for without a limit', async () => {
    const [seen] = await runner.getStatus(deploymentOf('A'), AbortSignal.timeout(5000));
    expect(seen).toMatchObject({ phase: 'absent', reason: 'the model is being unloaded', pid: 4001 });
  });

  it('is loaded as soon as that is over, and says meanwhile what is waited for', async () => {
    const starting = start();
    setTimeout(() => states.set('A', 'UNAVAILABLE'), 400);
    await starting;
    expect(calls).toEqual(['load A']);
    expect(host.info?.id).toBe('c1');
    expect(told).toContain('waiting: Triton is still unloading A; it is ended after 1 s');
    expect(told.at(-1)).toBe('loading A');
  });

  it('that does not end has its time, and then the server is ended and launched anew', async () => {
    await start();
    expect(calls).toEqual(['stop c1', 'launch', 'load A']);
    expect(host.info?.id).toBe('c2');
    expect(states.get('A')).toBe('READY');
  });

  it('that does not end is none of the server that has followed', async () => {
    const starting = start();
    setTimeout(() => {
      host.replace();
      states.set('A', 'UNLOADING');
    }, 400);
    await starting;
    expect(calls).toEqual(['load A']);
    expect(host.info?.id).toBe('c2');
  });

  it.each(['READY', 'LOADING', 'UNAVAILABLE'])('is not waited for where it is %s', async (state) => {
    states.set('A', state);
    await start();
    expect(calls).toEqual(['load A']);
    expect(told.filter((words) => words.startsWith('waiting'))).toEqual([]);
  });
});
