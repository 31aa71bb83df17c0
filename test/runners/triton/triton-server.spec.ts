import { describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  Launcher,
  type LaunchSpec,
  PortInUseError,
  type ServerInfo,
} from '../../../src/launchers/launcher.js';
import { fixedPorts } from '../../../src/runners/port-range.js';
import { type TritonGpus, tritonLaunchSpec } from '../../../src/runners/triton/launch-spec.js';
import { TritonServer } from '../../../src/runners/triton/triton-server.js';
import { Whereabouts } from '../../../src/runners/whereabouts.js';
import { testConfig } from '../../fakes/house.js';

const { triton } = testConfig().runners;
const PORTS = { http: 8000, grpc: 8001, metrics: 8002 };
const NAME = 'triton_MAM';
const NO_GPUS: TritonGpus = { access: { kind: 'none' }, visible: 'none' };

const RUNNING: ServerInfo = {
  id: 'c1',
  name: NAME,
  labels: tritonLaunchSpec(triton, { name: NAME, ports: PORTS }, NO_GPUS).labels,
  running: true,
  pid: 4711,
  startedAt: null,
  exitCode: null,
};

/** One host whose port 8000 is taken from the moment that somebody launches there. */
class OneHost extends Launcher {
  readonly kind = 'process';
  running: ServerInfo | undefined;
  beforeCheck: () => void | Promise<void> = () => undefined;
  beforeLaunch: () => Promise<void> = () => Promise.resolve();
  isPortTaken = false;

  async check(): Promise<void> {
    await this.beforeCheck();
    if (this.isPortTaken) throw new PortInUseError('Port 8000 already in use by process 4711.');
  }

  async launch(_spec: LaunchSpec): Promise<ServerInfo> {
    this.isPortTaken = true;
    await this.beforeLaunch();
    this.running = RUNNING;
    return RUNNING;
  }

  inspect(): Promise<ServerInfo | undefined> {
    return Promise.resolve(this.running);
  }

  list = (): Promise<readonly ServerInfo[]> => Promise.resolve([]);
  stop = (): Promise<void> => Promise.resolve();
  logs = (): Promise<readonly string[]> => Promise.resolve([]);
  serverOf = (): Promise<undefined> => Promise.resolve(undefined);
  onExit = () => (): void => undefined;
  close = (): Promise<void> => Promise.resolve();
}

function serverOn(host: OneHost): TritonServer {
  const role = { name: NAME, ports: fixedPorts(Object.values(PORTS)) };
  return new TritonServer(role, new Whereabouts({ name: NAME, launcher: host }, () => true), triton);
}

const signal = AbortSignal.timeout(10_000);
const context = { signal, gpus: [], wanted: () => [], onProgress: () => undefined };

describe('the check of a launch', () => {
  it('says who has its port', async () => {
    const host = new OneHost();
    host.isPortTaken = true;
    await expect(serverOn(host).check(NO_GPUS, signal)).rejects.toThrow('Port 8000');
  });

  it('is one for all models that are started at once, and another for who comes later', async () => {
    const host = new OneHost();
    const server = serverOn(host);
    let checks = 0;
    host.beforeCheck = () => {
      checks += 1;
      return sleep(20);
    };
    await Promise.all(Array.from({ length: 12 }, () => server.check(NO_GPUS, signal)));
    expect(checks).toBe(1);
    await server.check(NO_GPUS, signal);
    expect(checks).toBe(2);
  });

  it('does not take the server itself, launched by somebody else meanwhile, for a stranger', async () => {
    const host = new OneHost();
    host.beforeCheck = () => {
      host.isPortTaken = true;
      host.running = RUNNING;
    };
    await expect(serverOn(host).check(NO_GPUS, signal)).resolves.toBeUndefined();
  });

  it('does not take a launch of the server that is under way for a stranger, nor wait for it', async () => {
    const host = new OneHost();
    const server = serverOn(host);
    const never = new AbortController();
    host.beforeLaunch = () => sleep(60_000, undefined, { signal: never.signal });
    let launching: Promise<unknown> | undefined;
    host.beforeCheck = async () => {
      launching = server.ensureLive(NO_GPUS, context).catch(() => undefined);
      while (!host.isPortTaken) await sleep(1);
    };
    await expect(server.check(NO_GPUS, signal)).resolves.toBeUndefined();
    never.abort();
    await launching;
  });
});
