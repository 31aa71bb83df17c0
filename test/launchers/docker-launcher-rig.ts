import { Logger } from '@nestjs/common';
import { pollUntil } from '../../src/common/deadline.js';
import { DockerLauncher } from '../../src/launchers/docker/docker-launcher.js';
import { type LaunchSpec, OWNER_LABEL } from '../../src/launchers/launcher.js';
import { FakeEngine } from '../fakes/launcher-engine.js';

/** The signal of a call that is never given up. */
export const never = new AbortController().signal;
export const owner = 'test-owner';
export const labels = { [OWNER_LABEL]: owner };

export const spec: LaunchSpec = {
  name: 'triton_server',
  labels: {},
  image: 'registry.test/triton:1',
  pull: 'never',
  command: ['tritonserver'],
  env: {},
  ports: [],
  bindAddress: '127.0.0.1',
  mounts: [],
  gpus: { kind: 'all' },
  ulimits: [],
  stopGraceSeconds: 1,
};

export function until(condition: () => boolean): Promise<true> {
  return pollUntil(() => Promise.resolve(condition() ? true : undefined), {
    intervalMs: 5,
    signal: AbortSignal.timeout(5000),
  });
}

export async function rejection(promise: Promise<unknown>): Promise<Error> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof Error)) throw new TypeError('did not reject');
  return error;
}

/** Of the case that runs. */
export let engine: FakeEngine;
export let launcher: DockerLauncher;

export function launcherAt(socketPath: string): DockerLauncher {
  return new DockerLauncher({ owner, socketPath, requestTimeoutMs: 300, pullTimeoutMs: 300 });
}

/** Each case has an Engine that behaves as the case says, and a launcher for it. */
export function useFakeEngine(): void {
  beforeAll(() => {
    Logger.overrideLogger(false);
  });

  beforeEach(async () => {
    engine = await FakeEngine.start();
    launcher = launcherAt(engine.socketPath);
  });

  afterEach(async () => {
    await launcher.close();
    await engine.stop();
  });
}
