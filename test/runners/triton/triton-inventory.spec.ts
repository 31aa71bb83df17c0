import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { BACKEND_LABEL, Launcher, MODEL_LABEL, type ServerInfo } from '../../../src/launchers/launcher.js';
import type { Needed } from '../../../src/runners/unneeded.js';
import { TritonRunner } from '../../../src/runners/triton/triton-runner.js';
import { testConfig } from '../../fakes/house.js';

/** What Triton says: model → state, the models that it is an ensemble of, and the name of its instance group. */
type Loaded = Record<string, { state: string; steps?: string[]; group?: string }>;

let triton: Server;
let loaded: Loaded;
const calls: string[] = [];
let answers = true;

beforeEach(async () => {
  loaded = {};
  calls.length = 0;
  answers = true;
  triton = createServer((request, response) => {
    if (!answers) return; // frozen
    const url = request.url ?? '';
    const say = (status: number, body: unknown) => response.writeHead(status).end(JSON.stringify(body));
    const unload = /models\/(\w+)\/unload/.exec(url)?.[1];
    const config = /models\/(\w+)\/config/.exec(url)?.[1];
    if (url === '/v2/health/live') say(200, {});
    else if (url === '/v2/repository/index') {
      say(
        200,
        Object.entries(loaded).map(([name, { state }]) => ({ name, version: '1', state })),
      );
    } else if (unload !== undefined) {
      calls.push(`unload ${unload}`);
      if (loaded[unload]) loaded[unload].state = 'UNAVAILABLE';
      say(200, {});
    } else if (config !== undefined && loaded[config]?.state === 'READY') {
      const steps = (loaded[config].steps ?? []).map((model_name) => ({ model_name }));
      const { group: name } = loaded[config];
      say(200, {
        ...(steps.length > 0 && { ensemble_scheduling: { step: steps } }),
        ...(name !== undefined && { instance_group: [{ name, count: 1 }] }),
      });
    } else say(400, { error: 'no' });
  }).listen(0, '127.0.0.1');
  await once(triton, 'listening');
});
afterEach(() => {
  triton.closeAllConnections();
  triton.close();
});

/** A host with servers of ours, by name. */
class Host extends Launcher {
  readonly kind = 'docker';
  readonly servers = new Map<string, ServerInfo>();

  add(name: string, labels: Record<string, string> = {}, running = true): void {
    const { port } = triton.address() as AddressInfo;
    const ports: Record<string, string> = {};
    for (const kind of ['http', 'grpc', 'metrics']) {
      ports[`model-inference-client.triton.${kind}-port`] = String(port);
    }
    this.servers.set(name, {
      id: `id of ${name}`,
      name,
      labels: { [BACKEND_LABEL]: 'triton', ...ports, ...labels },
      running,
      pid: running ? 4711 : null,
      startedAt: null,
      exitCode: running ? null : 0,
    });
  }

  list = () => Promise.resolve([...this.servers.values()]);
  inspect = (name: string) => Promise.resolve(this.servers.get(name));
  stop = (name: string, graceSeconds: number) => {
    calls.push(`stop ${name} ${graceSeconds}`);
    this.servers.delete(name);
    return Promise.resolve();
  };
  check = () => Promise.resolve();
  launch = () => Promise.reject(new Error('nothing is launched here'));
  logs = () => Promise.resolve([]);
  serverOf = () => Promise.resolve(undefined);
  onExit = () => () => undefined;
  close = () => Promise.resolve();
}

const config = {
  ...testConfig().runners.triton,
  container_name: 'shared',
  exit_timeout_seconds: 1,
  model_repository_host_path: '/nowhere',
  supported_models: ['MAM', 'Pre', 'Own', 'Ensemble'],
  model_gpu_configs: { default: {}, Own: { use_dedicated_server: true } },
} as ConstructorParameters<typeof TritonRunner>[0];

const signal = AbortSignal.timeout(20_000);

function rig(): { host: Host; runner: TritonRunner } {
  const host = new Host();
  const launchers = { get: () => host, peek: () => host };
  const isPortTaken = (): Promise<boolean> => Promise.resolve(false);
  return { host, runner: new TritonRunner(config, { launchers, isPortTaken, pullTimeoutSeconds: 10 }) };
}

/** A shared server does not go by GPU. */
function needed(...models: string[]): Needed[] {
  return models.map((modelName) => ({ modelName, gpuIds: [3] }));
}

async function unneeded(runner: TritonRunner, ...models: string[]): Promise<string[]> {
  const found = await runner.findUnneeded(needed(...models), signal);
  return found.map(({ serverName, model, models }) =>
    model === undefined ? `${serverName} ${JSON.stringify(models)}` : `${model} in ${serverName}`,
  );
}

describe('servers that nobody needs', () => {
  it('are all those that no needed model is served by, the dead and those of former configurations included', async () => {
    const { host, runner } = rig();
    host.add('shared');
    host.add('shared_Own', { [MODEL_LABEL]: 'Own' });
    host.add('former_name');
    host.add('dead', {}, false);
    expect(await unneeded(runner, 'Own', 'MAM')).toEqual(['former_name []', 'dead []']);
    loaded = { Pre: { state: 'READY' }, Old: { state: 'UNAVAILABLE' } };
    expect(await unneeded(runner, 'Pre')).toEqual(['shared_Own ["Pre"]', 'former_name ["Pre"]', 'dead []']);
    expect(await unneeded(runner)).toHaveLength(4);
  });

  it('do not include those that a model needs which the configuration does not have any more', async () => {
    const { host, runner } = rig();
    host.add('shared');
    host.add('shared_Gone', { [MODEL_LABEL]: 'Gone' });
    host.add('shared_Own', { [MODEL_LABEL]: 'Own' });
    expect(await unneeded(runner, 'Gone')).toEqual(['shared_Own []']);
  });

  it('are found also when they do not answer', async () => {
    const { host, runner } = rig();
    host.add('shared');
    answers = false;
    expect(await unneeded(runner)).toEqual(['shared null']);
  });

  it('are stopped politely or by force, unless needed or replaced by then', async () => {
    const { host, runner } = rig();
    host.add('shared');
    host.add('former_name');
    const [shared, former] = await runner.findUnneeded([], signal);
    if (!shared || !former) throw new Error('both were there');
    expect(await runner.removeUnneeded(shared, () => needed('MAM'), 'polite', signal)).toBe(false);
    expect(await runner.removeUnneeded({ ...shared, serverId: 'other' }, () => [], 'polite', signal)).toBe(
      false,
    );
    expect(calls).toEqual([]);
    expect(await runner.removeUnneeded(shared, () => needed('Own'), 'polite', signal)).toBe(true);
    expect(await runner.removeUnneeded(former, () => needed('MAM'), 'force', signal)).toBe(true);
    expect(await runner.removeUnneeded(former, () => [], 'force', signal)).toBe(false); // gone by itself
    expect(calls).toEqual(['stop shared 6', 'stop former_name 0']);
  });
});

describe('models that nobody needs in a server that others need', () => {
  it('include those that the configuration has lost: by groups of ours', async () => {
    const { host, runner } = rig();
    host.add('shared');
    loaded = {
      MAM: { state: 'READY' },
      Gone: { state: 'READY', group: 'gpu_2' },
      Strange: { state: 'READY', group: 'Strange_0' },
    };
    const [gone, ...more] = await runner.findUnneeded(needed('MAM'), signal);
    expect([gone?.model, more]).toEqual(['Gone', []]);
    expect(await unneeded(runner, 'MAM', 'Gone')).toEqual([]);
    if (!gone) throw new Error('it was there');
    expect(await runner.removeUnneeded(gone, () => needed('MAM'), 'polite', signal)).toBe(true);
    expect(calls).toEqual(['unload Gone']);
  });

  it.each([
    ['the configuration has lost', 'Gone', { state: 'READY', group: 'gpu_2' }],
    ['the configuration has', 'Pre', { state: 'READY' }],
  ])(
    'that %s have their grace: a stop of the last other one leaves the server',
    async (_name, model, spare) => {
      const { host, runner } = rig();
      host.add('shared');
      loaded = { MAM: { state: 'READY', group: 'gpu_0' }, [model]: spare };
      const stop = () =>
        runner.stop({ modelName: 'MAM', gpuIds: [], options: {} }, [0], {
          signal,
          gpus: [],
          wanted: () => [],
          onProgress: () => undefined,
          patienceMs: 0,
        });
      await stop();
      expect(calls).toEqual(['unload MAM']);
      loaded = { MAM: { state: 'READY' }, Strange: { state: 'READY' } };
      await stop();
      expect(calls).toEqual(['unload MAM', 'stop shared 6']);
    },
  );

  it('are those of the configuration, and no strangers', async () => {
    const { host, runner } = rig();
    host.add('shared');
    loaded = { MAM: { state: 'READY' }, Pre: { state: 'READY' }, Strange: { state: 'READY' } };
    expect(await unneeded(runner, 'MAM')).toEqual(['Pre in shared']);
  });

  it('include one that is needed, yet served by another server', async () => {
    const { host, runner } = rig();
    host.add('shared');
    loaded = { MAM: { state: 'READY' }, Own: { state: 'READY' } };
    expect(await unneeded(runner, 'MAM', 'Own')).toEqual(['Own in shared']);
  });

  it('do not include what an ensemble is made of, whoever has loaded that', async () => {
    const { host, runner } = rig();
    host.add('shared');
    loaded = {
      Ensemble: { state: 'READY', steps: ['Pre', 'MAM'] },
      Pre: { state: 'READY' },
      MAM: { state: 'READY' },
    };
    expect(await unneeded(runner, 'Ensemble')).toEqual([]);
    loaded = {
      Strange: { state: 'READY', steps: ['Pre'] },
      Pre: { state: 'READY' },
      MAM: { state: 'READY' },
    };
    expect(await unneeded(runner, 'MAM')).toEqual([]);
  });

  it('are none while a needed model is loading: it may be made of them', async () => {
    const { host, runner } = rig();
    host.add('shared');
    loaded = { Ensemble: { state: 'LOADING' }, Pre: { state: 'READY' } };
    expect(await unneeded(runner, 'Ensemble')).toEqual([]);
  });

  it('are none where the server does not answer', async () => {
    const { host, runner } = rig();
    host.add('shared');
    answers = false;
    expect(await unneeded(runner, 'MAM')).toEqual([]);
  });

  it('are unloaded, unless needed by then; the server stays', async () => {
    const { host, runner } = rig();
    host.add('shared');
    loaded = { MAM: { state: 'READY' }, Pre: { state: 'READY' } };
    const [pre] = await runner.findUnneeded(needed('MAM'), signal);
    if (!pre) throw new Error('it was there');
    expect(await runner.removeUnneeded(pre, () => needed('MAM', 'Pre'), 'polite', signal)).toBe(false);
    expect(calls).toEqual([]);
    expect(await runner.removeUnneeded(pre, () => needed('MAM'), 'polite', signal)).toBe(true);
    expect(calls).toEqual(['unload Pre']);
    expect([...host.servers.keys()]).toEqual(['shared']);
  });
});
