import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DockerLauncher } from '../../src/launchers/docker/docker-launcher.js';
import type { Launcher } from '../../src/launchers/launcher.js';
import { ProcessLauncher } from '../../src/launchers/process/process-launcher.js';
import { ComfyuiInstallation } from '../../src/runners/comfyui/installation.js';
import { flagQuestion } from '../../src/runners/comfyui/comfyui-program.js';
import { comfyuiConfig } from '../runners/comfyui/configs.js';
import { containersOf, engineAnswers, removeContainersOf } from '../support/docker.js';
import { TRITON_IMAGE } from '../support/real-triton.js';

const never = new AbortController().signal;
const owner = `test-comfyui-flags-${process.pid}`;
const isThere = await engineAnswers();

/** Parses as ComfyUI does, with a real argparse. */
const MAIN = `
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--listen", type=str, default="127.0.0.1", metavar="IP", nargs="?", const="0.0.0.0,::")
parser.add_argument("--port", type=int, default=8188)
group = parser.add_mutually_exclusive_group()
group.add_argument("--novram", action="store_true")
group.add_argument("--cache-ram", type=float, nargs="?", const=4.0, help="A long description that goes on. " * 9)
parser.add_argument("--fast", nargs="*")
parser.parse_args()
`;

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mic-flags-'));
  await writeFile(join(directory, 'main.py'), MAIN);
});

afterEach(() => rm(directory, { recursive: true, force: true }));

afterAll(async () => {
  if (isThere) await removeContainersOf(owner);
});

/** What an installation says, and that nothing of the question is left. */
async function answerOf(launcher: Launcher, changes: Record<string, unknown>): Promise<unknown> {
  const config = comfyuiConfig({ container_name: owner, launcher: launcher.kind, ...changes });
  const installation = new ComfyuiInstallation(
    () => launcher,
    () => flagQuestion(config),
  );
  try {
    const answer = await installation.flags(() => true, never);
    expect(await launcher.list({}, never)).toEqual([]);
    return 'flags' in answer ? Object.fromEntries(answer.flags) : answer;
  } finally {
    await launcher.close();
  }
}

describe('F30: a program with a real argparse, asked for its flags', () => {
  const expected = {
    '--help': 'none',
    '--listen': 'optional',
    '--port': 'text',
    '--novram': 'none',
    '--cache-ram': 'optional',
    '--fast': 'any',
  };

  it('tells them as a process', async () => {
    const stateDir = join(directory, 'state');
    const launcher = new ProcessLauncher({ stateDir, owner, logMaxBytes: 100_000 });
    expect(await answerOf(launcher, { comfyui_path: directory, python: 'python3' })).toEqual(expected);
  });

  (isThere ? it : it.skip)(
    'tells them in a container',
    async () => {
      const launcher = new DockerLauncher({
        owner,
        socketPath: '/var/run/docker.sock',
        requestTimeoutMs: 20_000,
        pullTimeoutMs: 20_000,
      });
      const mounts = [{ host_path: directory, server_path: '/app' }];
      const image = { image_name: TRITON_IMAGE, comfyui_path: '/app', python: 'python3', mounts };
      expect(await answerOf(launcher, image)).toEqual(expected);
      expect(await containersOf(owner)).toEqual([]);
    },
    60_000,
  );

  it('is not taken for one that has none where it cannot be run', async () => {
    const stateDir = join(directory, 'state');
    const launcher = new ProcessLauncher({ stateDir, owner, logMaxBytes: 100_000 });
    await writeFile(join(directory, 'main.py'), 'import no_such_module');
    expect(await answerOf(launcher, { comfyui_path: directory, python: 'python3' })).toEqual({
      unknown: '--help ended with exit code 1',
    });
  });
});
