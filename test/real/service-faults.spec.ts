import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { containersOf, docker, engineAnswers, removeContainersOf } from '../support/docker.js';
import { createRealTriton, TRITON_IMAGE } from '../support/real-triton.js';
import type { TestService } from '../support/service.js';

jest.setTimeout(120_000);

let mic: TestService;

/** The shared server, and one of its own for `SlowInfer`. */
async function boot(config: Record<string, unknown> = {}): Promise<void> {
  mic = await createRealTriton(
    {
      model_gpu_configs: { default: { instances_per_gpu: 1 }, SlowInfer: { use_dedicated_server: true } },
    },
    config,
  );
  await mic.boot();
}

/** Of the clients of one test: none outlives it, whatever it came to. */
let over = new AbortController();

beforeEach(() => {
  over = new AbortController();
});
afterEach(async () => {
  over.abort();
  await mic.dispose();
  await removeContainersOf(mic.instanceName);
});

/** Id and main process of every container, sorted. */
async function servers(): Promise<string[]> {
  const found = await Promise.all(
    (await containersOf(mic.instanceName)).map(({ Id }) => docker.getContainer(Id).inspect()),
  );
  return found.map(({ Id, State }) => `${Id} ${State.Pid}`).sort();
}

async function mamAndSlowInfer(): Promise<string[]> {
  await mic.start('MAM', 0, { instances_per_gpu: 2 });
  await mic.start('MAM', 2);
  await mic.start('SlowInfer', 1);
  await mic.untilRunning('MAM@0', 'MAM@2', 'SlowInfer@1');
  return servers();
}

/** Asks `MAM` all the time; `end` gives the statuses of the answers, 0 where there was none. */
function client(): { end: () => Promise<number[]> } {
  const answers: number[] = [];
  const asking = (async () => {
    while (!over.signal.aborted) {
      const status = await mic.infer('MAM', [1, 2, 3, 4]).then(
        (answer) => answer.status,
        () => 0,
      );
      answers.push(status);
    }
  })();
  return {
    end: async () => {
      over.abort();
      await asking;
      return answers;
    },
  };
}

async function loadsIn(containerName: string, model: string): Promise<number> {
  const log = await docker.getContainer(containerName).logs({ stdout: true, stderr: true });
  return log.toString().split(`successfully loaded '${model}'`).length - 1;
}

interface OrphanInfo {
  readonly server_name: string;
  readonly container_id: string;
  readonly models: readonly string[] | null;
}

async function orphans(): Promise<OrphanInfo[]> {
  const { body } = await mic.get<OrphanInfo[]>('/api/v1/models/orphans');
  return body.sort((a, b) => a.server_name.localeCompare(b.server_name));
}

const sharedName = (): string => `triton_${mic.instanceName}`;
const stateFile = (): string => join(mic.stateDir, 'desired-state.json');

const withEngine = (await engineAnswers()) ? describe : describe.skip;

withEngine('F2: kill -9 of the service while real Tritons serve', () => {
  it('they serve all along, untouched; status is right within 2 s after the boot, with the same pids', async () => {
    await boot();
    const before = await mamAndSlowInfer();
    const requests = client();
    await mic.end('SIGKILL');
    await mic.boot();
    const booted = performance.now();
    await mic.untilRunning('MAM@0', 'MAM@2', 'SlowInfer@1');
    expect(performance.now() - booted).toBeLessThan(2000);
    const answers = await requests.end();
    expect(new Set(answers)).toEqual(new Set([200]));
    expect(answers.length).toBeGreaterThan(20);
    expect(await servers()).toEqual(before);
    const { pid } = (await mic.start('MAM', 0)).body;
    expect(before.some((server) => server.endsWith(` ${String(pid)}`))).toBe(true);
  });
});

withEngine('F14: the state file is garbage, and real Tritons serve', () => {
  it('they are taken up as they are; no request fails, and nothing is removed', async () => {
    await boot({ orphans: { interval_seconds: 1, grace_seconds: 1 } });
    const before = await mamAndSlowInfer();
    await mic.end('SIGKILL');
    await writeFile(stateFile(), '{ "version": 1, "deploym');
    const requests = client();
    await mic.boot();
    await mic.untilRunning('MAM@0', 'MAM@2', 'SlowInfer@1');
    await sleep(4000); // every grace is over
    expect(new Set(await requests.end())).toEqual(new Set([200]));
    expect(await mic.placements()).toEqual(['MAM@0:RUNNING', 'MAM@2:RUNNING', 'SlowInfer@1:RUNNING']);
    expect(await servers()).toEqual(before);
    expect(await mic.desired()).toEqual(['MAM@0', 'MAM@2', 'SlowInfer@1']);
    expect((await mic.start('MAM', 3)).body).toMatchObject({ total_instances: 6 });
    await mic.untilRunning('MAM@0', 'MAM@2', 'MAM@3', 'SlowInfer@1');
    expect((await readdir(mic.stateDir)).filter((name) => name.includes('unreadable'))).toHaveLength(1);
  });
});

withEngine('F16: real Tritons that nobody wants', () => {
  it('are found at boot and later, reported, and removed after the grace; those of others are not touched', async () => {
    await boot({ orphans: { interval_seconds: 1, grace_seconds: 4 } });
    await mamAndSlowInfer();
    const ids = (await containersOf(mic.instanceName)).map(({ Id }) => Id);
    await mic.end('SIGKILL');
    await rm(stateFile());
    const stray = async (name: string, owner: string): Promise<void> => {
      const container = await docker.createContainer({
        Image: TRITON_IMAGE,
        name,
        Cmd: ['sh', '-c', 'trap "exit 0" TERM; sleep 600 & wait'],
        Labels: {
          'model-inference-client.owner': owner,
          'model-inference-client.backend': 'triton',
        },
      });
      await container.start();
    };
    const others = `${mic.instanceName}-other`;
    try {
      await stray(`other_${mic.instanceName}`, others);
      await mic.boot();
      await mic.until(async () => (await orphans()).length === 2);
      const found = await orphans();
      expect(found).toMatchObject([
        { server_name: sharedName(), models: ['MAM'] },
        { server_name: `${sharedName()}_SlowInfer`, models: ['SlowInfer'] },
      ]);
      expect(found.map(({ container_id: id }) => id).sort()).toEqual([...ids].sort());
      expect((await mic.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
      await mic.until(async () => (await containersOf(mic.instanceName)).length === 0, 30_000);

      await stray(`stray_${mic.instanceName}`, mic.instanceName);
      await mic.until(async () => (await orphans())[0]?.server_name === `stray_${mic.instanceName}`);
      await mic.until(async () => (await containersOf(mic.instanceName)).length === 0, 30_000);
      await mic.until(async () => (await orphans()).length === 0);
      expect((await containersOf(others)).map(({ State }) => State)).toEqual(['running']);
    } finally {
      await removeContainersOf(others);
    }
  });
});

withEngine('F21: SIGTERM in the middle of starts and stops, with real Tritons', () => {
  /** `MAM` serves, `FastFitAll` loads (5 s), `SlowInfer` is being stopped. Says what waits for an answer. */
  async function busy(): Promise<{ stopping: Promise<unknown> }> {
    await mamAndSlowInfer();
    await mic.start('FastFitAll', 3);
    await mic.until(async () => (await mic.tritonIndex()).some(({ state }) => state === 'LOADING'));
    const stopping = mic.stop('SlowInfer', 1);
    await mic.until(async () => !(await mic.desired()).includes('SlowInfer@1'));
    return { stopping };
  }

  it('policy keep: they serve on, and the next run takes up where it was', async () => {
    await boot({ shutdown: { policy: 'keep' } });
    const { stopping } = await busy();
    const requests = client();
    const begun = performance.now();
    expect(await mic.end('SIGTERM')).toBe(0);
    expect(performance.now() - begun).toBeLessThan(10_000);
    expect(await stopping).toMatchObject({ status: 503, body: { code: 'SHUTTING_DOWN' } });
    await mic.boot();
    await mic.untilRunning('FastFitAll@3', 'MAM@0', 'MAM@2');
    expect(new Set(await requests.end())).toEqual(new Set([200]));
    await mic.until(async () => (await containersOf(mic.instanceName)).length === 1);
    expect(await loadsIn(sharedName(), 'FastFitAll')).toBe(1);
  });

  it('policy stop: all are gone, verified, within the deadline; what was wanted comes back', async () => {
    await boot({ shutdown: { policy: 'stop', stop_timeout_seconds: 30 } });
    const { stopping } = await busy();
    const pids = (await servers()).map((server) => server.split(' ')[1] ?? '');
    const begun = performance.now();
    expect(await mic.end('SIGTERM')).toBe(0);
    expect(performance.now() - begun).toBeLessThan(40_000);
    expect(await stopping).toMatchObject({ status: 503, body: { code: 'SHUTTING_DOWN' } });
    expect(await containersOf(mic.instanceName)).toEqual([]);
    const there = await readdir('/proc');
    expect(pids.filter((pid) => there.includes(pid))).toEqual([]);
    expect(await mic.desired()).toEqual(['FastFitAll@3', 'MAM@0', 'MAM@2']);
    await mic.boot();
    await mic.untilRunning('FastFitAll@3', 'MAM@0', 'MAM@2');
    await mic.until(async () => (await containersOf(mic.instanceName)).length === 1);
  });
});
