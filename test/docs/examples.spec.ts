import { afterEach, describe, expect, it } from '@jest/globals';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../src/config/load-config.js';
import { DockerLauncher } from '../../src/launchers/docker/docker-launcher.js';
import { backends, type FullConfig } from '../../src/runners/backends.js';
import type { RunnerHost } from '../../src/runners/runner-host.js';
import { DEFAULT_YAML } from '../fakes/house.js';
import { freePorts } from '../support/ports.js';
import { FakeEngine, json } from '../fakes/launcher-engine.js';

const PAGES = ['README.md', 'README.zh-CN.md', 'docs/deployment.md', 'docs/deployment.zh-CN.md'];

/** What the pages have the reader create; nothing else is on the host. */
const CREATED = '/data/models';

/** The configurations that a page has its reader write down. */
function examplesOf(page: string): string[] {
  const blocks = [...readFileSync(page, 'utf8').matchAll(/^( *)```yaml\n(.*?)^ *```$/gms)];
  return blocks
    .map(([, indent = '', text = '']) => text.replaceAll(new RegExp(`^${indent}`, 'gm'), ''))
    .filter((text) => /^runners:$/m.test(text));
}

let directory: string;
let engine: FakeEngine;
let launcher: DockerLauncher;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mic-example-'));
  engine = await FakeEngine.start();
  engine.override = (request, response) => {
    if (!request.url?.startsWith('/images/')) return false;
    json(response, 200, {});
    return true;
  };
  launcher = new DockerLauncher({
    owner: 'examples',
    socketPath: engine.socketPath,
    requestTimeoutMs: 2000,
    pullTimeoutMs: 2000,
  });
});

afterEach(async () => {
  await launcher.close();
  await engine.stop();
  await rm(directory, { recursive: true });
});

async function configOf(example: string): Promise<FullConfig> {
  const file = join(directory, 'config.yaml');
  await writeFile(file, example.replaceAll(CREATED, join(directory, 'models')));
  return loadConfig(DEFAULT_YAML, { MIC_CONFIG: file }, backends);
}

describe.each(PAGES)('the examples of %s', (page) => {
  it('are there', () => {
    expect(examplesOf(page)).toHaveLength(1);
  });

  it.each(examplesOf(page))('start as printed: %#', async (example) => {
    const config = await configOf(example);
    const models = config.runners.triton.supported_models;
    for (const model of models) {
      await mkdir(join(directory, 'models', model), { recursive: true });
      await writeFile(join(directory, 'models', model, 'config.pbtxt.template'), `name: "${model}"\n`);
    }
    const host: RunnerHost = {
      launchers: { get: () => launcher, peek: () => launcher },
      isPortTaken: () => Promise.resolve(false),
      pullTimeoutSeconds: 1,
    };
    // Whoever has the printed ports on this machine is no matter here.
    const [http_port = 0, grpc_port = 0, metrics_port = 0] = await freePorts(3);
    const triton = { ...config.runners.triton, http_port, grpc_port, metrics_port };
    const runner = backends[0].createRunner({ ...config.runners, triton }, host);
    const gpus = [{ id: 0, uuid: 'GPU-0' }];
    const { signal } = new AbortController();
    const context = { signal, gpus, wanted: () => [], onProgress: () => undefined };
    for (const modelName of models) {
      const options = runner?.defaultOptions(modelName) ?? {};
      await expect(runner?.preflight({ modelName, gpuIds: [0], options }, context)).resolves.toBeUndefined();
    }
  });
});
