import { beforeEach, describe, expect, it } from '@jest/globals';
import {
  BACKEND_LABEL,
  Launcher,
  type LaunchSpec,
  type ServerInfo,
} from '../../../src/launchers/launcher.js';
import type { DomainError } from '../../../src/common/errors.js';
import type { Examiner } from '../../../src/common/examiner.js';
import { ServerLostError } from '../../../src/runners/errors.js';
import { portsOf, type TritonGpus } from '../../../src/runners/triton/launch-spec.js';
import { ModelRepository } from '../../../src/runners/triton/model-repository.js';
import { TritonServers } from '../../../src/runners/triton/triton-servers.js';
import { testConfig } from '../../fakes/house.js';
import { settled } from '../../fakes/timers.js';
import { freePorts } from '../../support/ports.js';

const NO_GPUS: TritonGpus = { access: { kind: 'none' }, visible: 'none' };

const { signal } = new AbortController();
const context = { signal, gpus: [], wanted: () => [], onProgress: () => undefined };

/** Its servers end at once, and stay on record until their next launch. */
class Host extends Launcher {
  readonly kind = 'process';
  servers: ServerInfo[] = [];
  launching: Promise<void> = Promise.resolve();
  error: Error | undefined;
  isAlive = false;
  /** The HTTP ports of all launches. */
  readonly ports: number[] = [];

  check = (): Promise<void> => Promise.resolve();

  async launch(spec: LaunchSpec): Promise<ServerInfo> {
    this.ports.push(portsOf(spec.labels)?.http ?? 0);
    await this.launching;
    if (this.error) throw this.error;
    const { name, labels } = spec;
    const info = { id: `run of ${name}`, name, labels, running: this.isAlive, pid: 1 };
    const server = { ...info, startedAt: null, exitCode: null };
    this.servers = [...this.servers.filter((each) => each.name !== name), server];
    return server;
  }

  list = (labels: ServerInfo['labels']): Promise<readonly ServerInfo[]> =>
    Promise.resolve(this.servers.filter((each) => each.labels[BACKEND_LABEL] === labels[BACKEND_LABEL]));
  inspect = (name: string): Promise<ServerInfo | undefined> =>
    Promise.resolve(this.servers.find((each) => each.name === name));
  stop = (): Promise<void> => Promise.resolve();
  logs = (): Promise<readonly string[]> => Promise.resolve([]);
  serverOf = (): Promise<undefined> => Promise.resolve(undefined);
  onExit = () => (): void => undefined;
  close = (): Promise<void> => Promise.resolve();
}

describe('the ports of dedicated servers', () => {
  let host: Host;
  let first: number;

  beforeEach(async () => {
    host = new Host();
    [first = 0] = await freePorts(1);
  });

  function serversOn(rows: number): TritonServers {
    const config = {
      ...testConfig().runners.triton,
      launcher: 'process' as const,
      supported_models: ['A', 'B', 'C', 'D'],
      dedicated_ports: { from: first, to: first + rows * 3 - 1 },
      model_gpu_configs: { default: { instances_per_gpu: 1, use_dedicated_server: true } },
    };
    const launchers = { get: () => host, peek: () => host };
    const isPortTaken = (): Promise<boolean> => Promise.resolve(false);
    return new TritonServers(config, { launchers, isPortTaken }, new ModelRepository('/nowhere'));
  }

  /** What the checks of a host or a plan find in the way. */
  async function faults(servers: TritonServers, model: string): Promise<unknown[]> {
    const found: unknown[] = [];
    const examine: Examiner = async (_subject, check) => {
      const fault = await check().then(
        () => undefined,
        (error: unknown) => error,
      );
      if (fault !== undefined) found.push(fault);
      return fault === undefined;
    };
    await servers.of(model).check(NO_GPUS, signal, examine);
    return found;
  }

  it('are held for nobody by checks, one after another or at once, and are there for a start', async () => {
    const servers = serversOn(1);
    for (const model of ['A', 'B']) expect(await faults(servers, model)).toEqual([]);
    expect(await Promise.all(['A', 'B', 'C'].map((model) => faults(servers, model)))).toEqual([[], [], []]);
    await Promise.all(['A', 'B', 'C'].map((model) => servers.of(model).check(NO_GPUS, signal)));
    await expect(servers.of('C').ensureLive(NO_GPUS, context)).rejects.toBeInstanceOf(ServerLostError);
    expect(host.ports).toEqual([first]);
  });

  it('are free again when a start has failed, before the server was there or after', async () => {
    const servers = serversOn(1);
    host.error = new Error('no such program');
    await expect(servers.of('A').ensureLive(NO_GPUS, context)).rejects.toThrow('no such program');
    host.error = undefined;
    await expect(servers.of('B').ensureLive(NO_GPUS, context)).rejects.toBeInstanceOf(ServerLostError);
    expect(host.servers).toMatchObject([{ running: false }]);
    await expect(servers.of('C').ensureLive(NO_GPUS, context)).rejects.toBeInstanceOf(ServerLostError);
    expect(host.ports).toEqual([first, first, first]);
  });

  it('are free again when their server has ended', async () => {
    const servers = serversOn(1);
    host.isAlive = true;
    const end = new AbortController();
    const start = servers.of('A').ensureLive(NO_GPUS, { ...context, signal: end.signal });
    while (host.servers.length === 0) await settled();
    expect(await faults(servers, 'B')).toMatchObject([{ code: 'PORT_IN_USE' }]);
    host.servers = [];
    end.abort(new Error('enough'));
    await expect(start).rejects.toThrow('enough');
    expect(await faults(servers, 'B')).toEqual([]);
  });

  it('are those of one launch alone while it is under way, which a check sees', async () => {
    const servers = serversOn(2);
    let goOn: () => void = () => undefined;
    host.launching = new Promise((resolve) => {
      goOn = resolve;
    });
    const starts = ['A', 'B', 'C'].map((model) =>
      servers
        .of(model)
        .ensureLive(NO_GPUS, context)
        .then(
          () => 'LIVE',
          (error: unknown) => (error as DomainError).code,
        ),
    );
    while (host.ports.length < 2) await settled();
    expect(new Set(host.ports)).toEqual(new Set([first, first + 3]));
    expect(await faults(servers, 'D')).toMatchObject([{ code: 'PORT_IN_USE' }]);
    goOn();
    expect((await Promise.all(starts)).sort()).toEqual(['PORT_IN_USE', 'SERVER_LOST', 'SERVER_LOST']);
  });
});
