import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DockerTestService } from '../support/docker-service.js';
import { TestService } from '../support/service.js';

jest.setTimeout(60_000);

const disposals: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const dispose of disposals.splice(0)) await dispose();
});

const GRACE_SECONDS = 0.3;
const LOOK_SECONDS = 0.3;
const SETTINGS = {
  models: { MAM: { load_seconds: 0.1 }, Own: { load_seconds: 0.1 }, Other: { load_seconds: 0.1 } },
  config: { orphans: { interval_seconds: LOOK_SECONDS, grace_seconds: GRACE_SECONDS } },
  triton: {
    model_gpu_configs: { default: { instances_per_gpu: 1 }, Own: { use_dedicated_server: true } },
  },
};

const stateFile = (service: TestService): string => join(service.stateDir, 'desired-state.json');

/** Two models, one on a server of its own, on several GPUs, with options of their own; the service has died. */
async function killed(service: TestService): Promise<void> {
  await service.boot();
  await service.start('MAM', 0, { instances_per_gpu: 3 });
  await service.start('MAM', 2);
  await service.start('Own', 1, { instances_per_gpu: 2 });
  await service.untilRunning('MAM@0', 'MAM@2', 'Own@1');
  await service.end('SIGKILL');
}

async function withProcesses(): Promise<TestService> {
  const service = await TestService.create(SETTINGS);
  disposals.push(() => service.dispose());
  await killed(service);
  return service;
}

async function asideOf(service: TestService): Promise<string[]> {
  return (await readdir(service.stateDir)).filter((name) => name.includes('unreadable'));
}

/** `MAM@0 x3` for all that is wanted, by the state on disk. */
async function wantedWithOptions(service: TestService): Promise<string[]> {
  const state = JSON.parse(await readFile(stateFile(service), 'utf8')) as {
    deployments: {
      model_name: string;
      options: { instances_per_gpu: number };
      placements: { gpu_id: number }[];
    }[];
  };
  return state.deployments
    .flatMap(({ model_name, options, placements }) =>
      placements.map(({ gpu_id }) => `${model_name}@${gpu_id} x${options.instances_per_gpu}`),
    )
    .sort();
}

const orphansOf = async (service: TestService): Promise<unknown[]> =>
  (await service.get<unknown[]>('/api/v1/models/orphans')).body;

/** The orphan watch has looked again and again, and every grace is over. */
async function graceIsOver(): Promise<void> {
  await sleep((GRACE_SECONDS + 2 * LOOK_SECONDS) * 1000);
}

describe('F14: the state file makes no sense at boot', () => {
  it.each([
    ['truncated', (text: string) => text.slice(0, text.length / 2), 'makes no sense'],
    ['garbage', () => '\u0000\u0001 garbage', 'makes no sense'],
    ['from a newer version', (text: string) => text.replace('"version": 1', '"version": 2'), 'newer version'],
  ])('%s: set aside, said loudly, and what runs is taken up as it is', async (_what, spoil, words) => {
    const service = await withProcesses();
    const pids = await service.serverPids();
    const loads = await service.loadsOf('MAM');
    const spoiled = spoil(await readFile(stateFile(service), 'utf8'));
    await writeFile(stateFile(service), spoiled);

    const answers: number[] = [];
    const done = new AbortController();
    const client = (async () => {
      while (!done.signal.aborted) {
        answers.push((await service.infer('MAM', [1, 2, 3, 4])).status);
        await sleep(5);
      }
    })();
    await service.boot();
    await service.untilRunning('MAM@0', 'MAM@2', 'Own@1');
    await service.until(async () => (await wantedWithOptions(service)).length === 3);
    await graceIsOver();
    done.abort();
    await client;

    expect(await service.placements()).toEqual(['MAM@0:RUNNING', 'MAM@2:RUNNING', 'Own@1:RUNNING']);
    expect(await wantedWithOptions(service)).toEqual(['MAM@0 x3', 'MAM@2 x3', 'Own@1 x2']);
    expect(await service.serverPids()).toEqual(pids);
    expect(await service.loadsOf('MAM')).toBe(loads);
    expect(new Set(answers)).toEqual(new Set([200]));
    expect(answers.length).toBeGreaterThan(20);
    expect(await orphansOf(service)).toEqual([]);
    const [aside = '', ...more] = await asideOf(service);
    expect(more).toEqual([]);
    expect(await readFile(join(service.stateDir, aside), 'utf8')).toBe(spoiled);
    expect(service.log).toMatch(new RegExp(`"level":"error",.*The state file .*${words}`));

    // From here on as if nothing had been: an end, another boot, a stop.
    await service.end('SIGKILL');
    await service.boot();
    await service.untilRunning('MAM@0', 'MAM@2', 'Own@1');
    expect((await service.stop('Own', 1)).status).toBe(200);
    expect(await service.serverPids()).toHaveLength(1);
  });

  it('and a server does not answer: nothing is killed, commands say why they must wait, also after another boot', async () => {
    const service = await withProcesses();
    const pids = await service.serverPids();
    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    await writeFile(stateFile(service), '{');
    await service.boot();
    expect(await service.placements()).toEqual([]);
    expect(await service.start('MAM', 0)).toMatchObject({
      status: 503,
      body: { code: 'ADOPTION_PENDING', detail: expect.stringContaining('does not say what it serves') },
    });
    await graceIsOver();
    await service.end('SIGKILL');
    await service.boot();
    await graceIsOver();
    expect(await orphansOf(service)).toEqual([]);
    for (const pid of pids) process.kill(pid, 'SIGCONT');
    await service.untilRunning('MAM@0', 'MAM@2', 'Own@1');
    expect(await service.serverPids()).toEqual(pids);
    expect((await service.start('Other', 3)).status).toBe(202);
    await service.untilRunning('MAM@0', 'MAM@2', 'Other@3', 'Own@1');
  });

  it('a start at once of a model that runs finds it as it is', async () => {
    const service = await withProcesses();
    const pids = await service.serverPids();
    const loads = await service.loadsOf('MAM');
    await writeFile(stateFile(service), '');
    await service.boot();
    const [again, stopped, other] = await Promise.all([
      service.start('MAM', 2),
      service.stop('Own', 1),
      service.start('Other', 3),
    ]);
    expect(again).toMatchObject({ status: 202, body: { active_gpu_ids: [0, 2], total_instances: 6 } });
    expect(stopped.status).toBe(200);
    expect(other.status).toBe(202);
    await service.untilRunning('MAM@0', 'MAM@2', 'Other@3');
    expect(pids).toEqual(expect.arrayContaining(await service.serverPids()));
    expect(await service.loadsOf('MAM')).toBe(loads);
  });
});

describe('F14: the state file makes no sense, and the Docker Engine is away', () => {
  it('nothing is touched; what runs is taken up when the Engine is back', async () => {
    const rig = await DockerTestService.boot(SETTINGS);
    disposals.push(() => rig.dispose());
    const { service, gate } = rig;
    await service.start('MAM', 0);
    await service.start('Own', 1);
    await service.untilRunning('MAM@0', 'Own@1');
    await service.end('SIGKILL');
    await writeFile(stateFile(service), 'garbage');
    await gate.shut();
    await service.boot();
    expect(await service.stop('MAM', 0)).toMatchObject({
      status: 503,
      body: { code: 'ADOPTION_PENDING', detail: expect.stringContaining('Cannot connect to the Docker') },
    });
    await graceIsOver();
    expect((await service.infer('MAM', [1, 2, 3, 4])).status).toBe(200);
    await gate.open();
    await service.untilRunning('MAM@0', 'Own@1');
    await graceIsOver();
    expect(await service.placements()).toEqual(['MAM@0:RUNNING', 'Own@1:RUNNING']);
    expect(await orphansOf(service)).toEqual([]);
    expect((await service.stop('MAM', 0)).status).toBe(200);
  });
});
