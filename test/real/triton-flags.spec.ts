import { afterAll, describe, expect, it } from '@jest/globals';
import type { LaunchSpec } from '../../src/launchers/launcher.js';
import { DockerLauncher } from '../../src/launchers/docker/docker-launcher.js';
import { type Ended, runToEnd } from '../../src/launchers/run-to-end.js';
import { TRITON_DECIDED_FLAGS, TRITON_FREE_FLAGS } from '../../src/runners/triton/triton-flags.js';
import { containersOf, engineAnswers, removeContainersOf } from '../support/docker.js';
import { TRITON_IMAGE } from '../support/real-triton.js';

const TIMEOUT_MS = 60_000;
const owner = `test-flags-${process.pid}`;
const isThere = await engineAnswers();
const launcher = new DockerLauncher({
  owner,
  socketPath: '/var/run/docker.sock',
  requestTimeoutMs: 20_000,
  pullTimeoutMs: 20_000,
});

function run(...args: string[]): Promise<Ended> {
  const spec: LaunchSpec = {
    name: `${owner}-question`,
    labels: {},
    image: TRITON_IMAGE,
    pull: 'never',
    command: ['tritonserver', ...args],
    env: {},
    ports: [],
    bindAddress: '127.0.0.1',
    mounts: [],
    gpus: { kind: 'none' },
    ulimits: [],
    stopGraceSeconds: 0,
  };
  return runToEnd(launcher, spec, new AbortController().signal);
}

afterAll(async () => {
  await launcher.close();
  if (isThere) await removeContainersOf(owner);
});

describe("the flags of Triton's own server", () => {
  const real = isThere ? it : it.skip;

  real(
    'F29: are each decided by this service, or free',
    async () => {
      const { lines } = await run('--help');
      const flags = lines.flatMap((line) => /^ {2}(--[a-z0-9-]+)/.exec(line)?.[1] ?? []);
      expect(flags.length).toBeGreaterThan(80);
      expect([...Object.keys(TRITON_DECIDED_FLAGS), ...TRITON_FREE_FLAGS].sort()).toEqual(
        [...new Set(flags)].sort(),
      );
      expect(await containersOf(owner)).toEqual([]);
    },
    TIMEOUT_MS,
  );

  real(
    'F29: are taken by any beginning that no other has, and not with "_"',
    async () => {
      const outputOf = async (flag: string): Promise<string> =>
        (await run('--model-repository=/nowhere', flag)).lines.join('\n');
      expect(await outputOf('--model-contr=explicit')).toContain('failed to stat file /nowhere');
      expect(await outputOf('--model_control_mode=explicit')).not.toContain('failed to stat file');
      expect(await containersOf(owner)).toEqual([]);
    },
    TIMEOUT_MS,
  );
});
