import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  BACKEND_LABEL,
  EngineUnavailableError,
  Launcher,
  MODEL_LABEL,
  type ServerInfo,
} from '../../../src/launchers/launcher.js';
import { instanceGroupText } from '../../../src/runners/triton/instance-groups.js';
import { TritonRunner } from '../../../src/runners/triton/triton-runner.js';
import { testConfig } from '../../fakes/house.js';

interface Loaded {
  readonly state: string;
  /** Groups of its configuration; left out: there is none to be had. */
  readonly groups?: readonly { name: string; count?: number }[];
}

const signal = AbortSignal.timeout(20_000);
const tritons: Server[] = [];
let repository: string;

beforeEach(async () => {
  repository = await mkdtemp(join(tmpdir(), 'mic-adoption-'));
});
afterEach(async () => {
  for (const triton of tritons.splice(0)) {
    triton.closeAllConnections();
    triton.close();
  }
  await rm(repository, { recursive: true });
});

/** A Triton that has loaded this. */
async function triton(loaded: Record<string, Loaded>): Promise<number> {
  const server = createServer((request, response) => {
    const url = request.url ?? '';
    const say = (status: number, body: unknown) => response.writeHead(status).end(JSON.stringify(body));
    const groups = loaded[/models\/(\w+)\/config/.exec(url)?.[1] ?? '']?.groups;
    if (url === '/v2/repository/index') {
      say(
        200,
        Object.entries(loaded).map(([name, { state }]) => ({ name, version: '1', state })),
      );
    } else if (groups) say(200, { instance_group: groups });
    else say(400, { error: 'not ready' });
  }).listen(0, '127.0.0.1');
  tritons.push(server);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** A host with servers of ours. */
class Host extends Launcher {
  readonly kind = 'docker';
  readonly servers: ServerInfo[] = [];
  error: Error | undefined;

  add(name: string, port: number, running = true, model?: string): void {
    const ports = Object.fromEntries(
      ['http', 'grpc', 'metrics'].map((kind) => [`model-inference-client.triton.${kind}-port`, String(port)]),
    );
    this.servers.push({
      id: `id of ${name}`,
      name,
      labels: {
        [BACKEND_LABEL]: 'triton',
        ...ports,
        ...(model !== undefined && { [MODEL_LABEL]: model }),
      },
      running,
      pid: 4711,
      startedAt: null,
      exitCode: null,
    });
  }

  list = () => (this.error ? Promise.reject(this.error) : Promise.resolve(this.servers));
  inspect = (name: string) => Promise.resolve(this.servers.find((server) => server.name === name));
  stop = () => Promise.reject(new Error('nothing is stopped here'));
  check = () => Promise.resolve();
  launch = () => Promise.reject(new Error('nothing is launched here'));
  logs = () => Promise.resolve([]);
  serverOf = () => Promise.resolve(undefined);
  onExit = () => () => undefined;
  close = () => Promise.resolve();
}

function rig(): { host: Host; runner: TritonRunner } {
  const config = {
    ...testConfig().runners.triton,
    container_name: 'shared',
    model_repository_host_path: repository,
    supported_models: ['MAM', 'Other', 'Own', 'Step'],
    model_gpu_configs: { default: {}, Own: { use_dedicated_server: true } },
  } as ConstructorParameters<typeof TritonRunner>[0];
  const host = new Host();
  const launchers = { get: () => host, peek: () => host };
  const isPortTaken = (): Promise<boolean> => Promise.resolve(false);
  return { host, runner: new TritonRunner(config, { launchers, isPortTaken, pullTimeoutSeconds: 10 }) };
}

async function write(model: string, gpuIds: readonly number[], count: number): Promise<void> {
  const places = gpuIds.map((gpuId, visibleIndex) => ({ gpuId, visibleIndex }));
  await mkdir(join(repository, model));
  await writeFile(join(repository, model, 'config.pbtxt'), instanceGroupText(places, count));
}

describe('what Triton serves, for a service that has lost its state', () => {
  it('is told of the shared server and of dedicated ones, with GPUs and instances', async () => {
    const { host, runner } = rig();
    const shared = await triton({
      MAM: {
        state: 'READY',
        groups: [
          { name: 'gpu_12', count: 3 },
          { name: 'gpu_2', count: 3 },
        ],
      },
      Other: { state: 'UNAVAILABLE' },
      Former: { state: 'READY', groups: [{ name: 'gpu_1', count: 1 }] },
      Foreign: { state: 'READY', groups: [{ name: 'Foreign_0', count: 1 }] },
      Step: { state: 'READY', groups: [{ name: 'Step_0', count: 1 }] },
    });
    host.add('shared', shared);
    const own = await triton({ Own: { state: 'READY', groups: [{ name: 'gpu_0' }] } });
    host.add('shared_Own', own, true, 'Own');
    expect(await runner.adoptable(signal)).toEqual({
      deployments: [
        { modelName: 'MAM', gpuIds: [2, 12], options: { instances_per_gpu: 3 } },
        { modelName: 'Former', gpuIds: [1], options: { instances_per_gpu: 1 } },
        { modelName: 'Own', gpuIds: [0], options: { instances_per_gpu: 1 } },
      ],
    });
  });

  it('while it loads is what was written for the load; Triton may still have what was before', async () => {
    const { host, runner } = rig();
    await write('MAM', [0, 3], 2);
    const before = [{ name: 'gpu_0', count: 2 }];
    host.add(
      'shared',
      await triton({
        MAM: { state: 'LOADING', groups: before },
        Other: { state: 'LOADING', groups: before },
      }),
    );
    expect((await runner.adoptable(signal)).deployments).toEqual([
      { modelName: 'MAM', gpuIds: [0, 3], options: { instances_per_gpu: 2 } },
      { modelName: 'Other', gpuIds: [0], options: { instances_per_gpu: 2 } },
    ]);
  });

  it('includes models that the configuration has lost, wherever they are: by groups of ours, or by the label', async () => {
    const { host, runner } = rig();
    const groups = [{ name: 'gpu_0', count: 1 }];
    await write('Comes', [2], 1);
    host.add(
      'shared',
      await triton({
        Gone: { state: 'READY', groups },
        Comes: { state: 'LOADING' },
        Strange: { state: 'LOADING' },
      }),
    );
    host.add('former_Alone', await triton({ Alone: { state: 'READY', groups } }), true, 'Alone');
    host.add('silent', 1);
    const { deployments, unclear } = await runner.adoptable(signal);
    expect(unclear).toBeUndefined();
    expect(deployments.map(({ modelName }) => modelName).sort()).toEqual(['Alone', 'Comes', 'Gone']);
    expect(runner.serverNameOf('Alone')).toBe('former_Alone');
  });

  it('is not what a second server serves, nor what does not run', async () => {
    const { host, runner } = rig();
    const groups = [{ name: 'gpu_0', count: 1 }];
    host.add('shared', await triton({}));
    host.add('former', await triton({ MAM: { state: 'READY', groups } }));
    host.add('shared_Own', 1, false, 'Own');
    expect(await runner.adoptable(signal)).toEqual({ deployments: [] });
  });

  it('is told of servers with the names of an earlier configuration, and of a model that is in the other kind', async () => {
    const { host, runner } = rig();
    const groups = [{ name: 'gpu_0', count: 1 }];
    host.add('former', await triton({ Own: { state: 'READY', groups } }));
    host.add('former_MAM', await triton({ MAM: { state: 'READY', groups } }), true, 'MAM');
    const { deployments } = await runner.adoptable(signal);
    expect(deployments.map(({ modelName }) => modelName).sort()).toEqual(['MAM', 'Own']);
    expect([runner.serverNameOf('MAM'), runner.serverNameOf('Own')]).toEqual(['former_MAM', 'former']);
  });

  it('is unclear of a server that does not answer; of the others it is told', async () => {
    const { host, runner } = rig();
    host.add('shared', 1);
    const own = await triton({ Own: { state: 'READY', groups: [{ name: 'gpu_0', count: 1 }] } });
    host.add('shared_Own', own, true, 'Own');
    expect(await runner.adoptable(signal)).toMatchObject({
      deployments: [{ modelName: 'Own' }],
      unclear: expect.stringContaining('shared does not say what it serves'),
    });
  });

  it('is unclear, all of it, of a server that cannot tell of one of its models', async () => {
    const { host, runner } = rig();
    const groups = [{ name: 'gpu_0', count: 1 }];
    host.add('shared', await triton({ MAM: { state: 'READY', groups }, Other: { state: 'LOADING' } }));
    expect(await runner.adoptable(signal)).toMatchObject({
      deployments: [],
      unclear: expect.stringContaining('the configuration of Other cannot be had'),
    });
  });

  it('nobody can tell while the Engine is away', async () => {
    const { host, runner } = rig();
    host.error = new EngineUnavailableError('Cannot connect to the Docker daemon');
    await expect(runner.adoptable(signal)).rejects.toBe(host.error);
  });
});
