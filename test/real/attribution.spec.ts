import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import type Docker from 'dockerode';
import { containersOf, docker, engineAnswers, removeContainersOf } from '../support/docker.js';
import { NvmlDouble } from '../support/nvml-double.js';
import { freePorts } from '../support/ports.js';
import { createRealTriton, TRITON_IMAGE } from '../support/real-triton.js';
import type { TestService } from '../support/service.js';
import type { Answer } from '../support/service-client.js';
import { SocketGate } from '../support/socket-gate.js';

jest.setTimeout(120_000);

const LLAMA = join(process.cwd(), 'test/fakes/llama-server.mjs');

/** A process on a GPU, as far as it is about whose it is. */
interface Attributed {
  readonly model_name: string | null;
  readonly placement: string | null;
  readonly container: string | null;
  readonly owner: string | null;
  readonly managed: boolean | null;
}

let nvml: NvmlDouble;
let mic: TestService;
let gate: SocketGate;
let foreign: Docker.Container;
let plain: ChildProcess;
/** Main process of the shared Triton, one of those that its models run in, and one that came by `docker exec`. */
let main: number;
let worker: number;
let guest: number;
/** Main process of a container of others that looks like ours in all but the owner's label. */
let stranger: number;

const sharedName = (): string => `triton_${mic.instanceName}`;
const foreignName = (): string => `${sharedName()}_MAM`;
const shared = (): Docker.Container => docker.getContainer(sharedName());

async function isThere(container: Docker.Container): Promise<boolean> {
  try {
    return (await container.inspect()).State.Running;
  } catch (error) {
    if ((error as { statusCode?: number }).statusCode === 404) return false;
    throw error;
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Every process of a container, by the Engine's word; the pids are the host's. */
async function processesIn(container: Docker.Container): Promise<number[]> {
  const { Processes: rows } = (await container.top({ ps_args: '-eo pid' })) as { Processes: string[][] };
  return rows.map(([pid]) => Number(pid)).sort((a, b) => a - b);
}

async function bringInto(container: Docker.Container, ...command: string[]): Promise<number> {
  const exec = await container.exec({ Cmd: command });
  (await exec.start({ Detach: true })).destroy();
  await mic.until(async () => (await exec.inspect()).Pid > 0);
  return (await exec.inspect()).Pid;
}

async function runForeign(): Promise<void> {
  foreign = await docker.createContainer({
    Image: TRITON_IMAGE,
    name: foreignName(),
    Cmd: ['sh', '-c', 'cp /bin/sleep /tmp/tritonserver && exec /tmp/tritonserver 600'],
    Labels: {
      'model-inference-client.owner': `not-${mic.instanceName}`,
      'model-inference-client.backend': 'triton',
    },
    HostConfig: { AutoRemove: true },
  });
  await foreign.start();
  stranger = (await foreign.inspect()).State.Pid;
}

/** What the shared Triton has nothing to do with: the dedicated one, and the server of the other backend. */
async function others(): Promise<unknown> {
  const { Id, State } = await docker.getContainer(`${sharedName()}_FastFitAll`).inspect();
  return { Id, pid: State.Pid, running: State.Running, qwen: await mic.serverPids() };
}

/** Whose the processes of a GPU are. */
async function attributedOn(gpu: number): Promise<Map<number, Attributed>> {
  const { status, body } =
    await mic.get<{ id: number; processes: (Attributed & { pid: number })[] }[]>('/api/v1/gpus');
  expect(status).toBe(200);
  const processes = body.find(({ id }) => id === gpu)?.processes ?? [];
  return new Map(
    processes.map(({ pid, model_name, placement, container, owner, managed }) => [
      pid,
      { model_name, placement, container, owner, managed },
    ]),
  );
}

/** A reading that shows just these processes: an earlier one serves for a while (gpus.sample_max_age_ms). */
async function untilOn(gpu: number, ...pids: number[]): Promise<Map<number, Attributed>> {
  let seen = new Map<number, Attributed>();
  await mic.until(async () => {
    seen = await attributedOn(gpu);
    return [...seen.keys()].sort().join() === [...pids].sort().join();
  });
  return seen;
}

const end = (pid: number, query = ''): Promise<Answer> =>
  mic.call('DELETE', `/api/v1/processes/${pid}${query}`);

const OURS_IN_SHARED = { owner: 'root', managed: true };
const NOBODYS = { model_name: null, placement: null, owner: 'root', managed: false };

async function isReady(): Promise<boolean> {
  if (!(await engineAnswers())) return false;
  if (NvmlDouble.isBuildable()) return true;
  const text = 'gcc and nvml.h (libnvidia-ml-dev) are not there';
  if (process.env.REQUIRE_REAL === '1') throw new Error(`${text}: run test/real/provision/provision.sh`);
  process.stderr.write(`${text}: the tests of whose a process is are skipped.\n`);
  return false;
}

const withReal = (await isReady()) ? describe : describe.skip;

withReal('whose a process is, with real Triton in a container', () => {
  beforeAll(async () => {
    nvml = await NvmlDouble.build();
  });

  afterAll(() => nvml.dispose());

  beforeEach(async () => {
    gate = new SocketGate(
      join('/tmp', `mic-gate-${process.pid}-${Math.trunc(performance.now())}.sock`),
      '/var/run/docker.sock',
    );
    await gate.open();
    const [port = 0] = await freePorts(1);
    const from = Math.min(port, 32_700);
    const qwen = {
      ...{ command: [process.execPath, LLAMA], health_path: '/health' },
      args: ['--model', '/srv/qwen.gguf', '--host', '{host}', '--port', '{port}'],
    };
    mic = await createRealTriton(
      {
        model_gpu_configs: {
          default: { instances_per_gpu: 1 },
          FastFitAll: { instances_per_gpu: 1, use_dedicated_server: true },
        },
      },
      {
        gpus: { source: 'nvml', nvml_library: nvml.library },
        launchers: { docker: { socket_path: gate.path } },
      },
      {
        env: nvml.env,
        runners: { http: { launcher: 'process', ports: { from, to: from + 20 }, models: { qwen } } },
      },
    );
    await mic.boot();
    await mic.start('MAM', 0);
    await mic.start('SlowInfer', 1);
    await mic.start('FastFitAll', 2);
    await mic.start('qwen', 0);
    await mic.untilRunning('FastFitAll@2', 'MAM@0', 'SlowInfer@1', 'qwen@0');
    await runForeign();
    plain = spawn('sleep', ['600'], { stdio: 'ignore' });
    main = (await shared().inspect()).State.Pid;
    worker = (await processesIn(shared())).find((pid) => pid !== main) ?? 0;
    guest = await bringInto(shared(), 'sleep', '600');
  });

  afterEach(async () => {
    plain.kill('SIGKILL');
    await mic.dispose();
    await removeContainersOf(mic.instanceName);
    if (await isThere(foreign)) await foreign.remove({ force: true });
    await gate.shut();
    await nvml.place({});
  });

  it('GET /gpus tells by cgroup and labels: placement, container, user, and whether it is managed', async () => {
    const [qwen = 0] = await mic.serverPids();
    const { pid: other = 0 } = plain;
    await nvml.place({ 0: [main, worker, guest, stranger, qwen, other], 1: [guest] });
    const inShared = { ...OURS_IN_SHARED, container: sharedName() };
    const mam = { ...inShared, model_name: 'MAM', placement: 'MAM@0' };
    expect(await untilOn(0, main, worker, guest, stranger, qwen, other)).toEqual(
      new Map<number, unknown>([
        [main, mam],
        [worker, mam],
        [guest, mam],
        [stranger, { ...NOBODYS, container: foreignName() }],
        [qwen, { ...NOBODYS, model_name: 'qwen', placement: 'qwen@0', container: null, managed: true }],
        [other, { ...NOBODYS, container: null }],
      ]),
    );
    const slow = { ...inShared, model_name: 'SlowInfer', placement: 'SlowInfer@1' };
    expect(await untilOn(1, guest)).toEqual(new Map([[guest, slow]]));
  });

  it('a dry run names what would be hit, and hits nothing', async () => {
    const before = await processesIn(shared());
    expect(before).toEqual(expect.arrayContaining([main, worker, guest]));
    for (const pid of [main, worker, guest]) {
      const { status, body } = await end(pid, '?dry_run=true');
      expect({ status, body }).toMatchObject({
        status: 200,
        body: {
          pid,
          status: 'dry_run',
          message: `The server ${sharedName()} would be ended by force; MAM@0, SlowInfer@1 would be in ERROR and not restarted.`,
          placements: ['MAM@0', 'SlowInfer@1'],
          container: sharedName(),
          owner: 'root',
        },
      });
      const named = (body.processes as { pid: number }[]).map((each) => each.pid);
      expect(named.sort((a, b) => a - b)).toEqual(before);
    }
    expect(await end(stranger, '?dry_run=true')).toEqual({
      status: 200,
      body: {
        pid: stranger,
        status: 'dry_run',
        message: 'This process would be ended.',
        placements: [],
        processes: [{ pid: stranger, name: 'tritonserver' }],
        container: foreignName(),
        owner: 'root',
      },
    });
    expect(await processesIn(shared())).toEqual(before);
    expect(isAlive(stranger)).toBe(true);
    expect((await mic.infer('MAM', [1, 2, 3, 4])).output).toEqual([3, 5, 7, 9]);
  });

  it('DELETE of one in a container of others ends that, and nothing of ours', async () => {
    const before = await processesIn(shared());
    const { status, body } = await end(stranger);
    expect({ status, body }).toMatchObject({ status: 200, body: { pid: stranger, status: 'killed' } });
    expect(body).not.toHaveProperty('placements');
    await mic.until(async () => !(await isThere(foreign)));
    expect(await processesIn(shared())).toEqual(before);
    await mic.untilRunning('FastFitAll@2', 'MAM@0', 'SlowInfer@1', 'qwen@0');
  });

  it.each<[string, () => number]>([
    ['the main process', () => main],
    ['one that came by docker exec', () => guest],
  ])('DELETE of %s ends the whole server for good, and no other', async (_, chosen) => {
    const bystanders = await others();
    const { Id: before } = await shared().inspect();
    const pid = chosen();
    const { status, body } = await end(pid);
    expect({ status, body }).toMatchObject({
      status: 200,
      body: { pid, status: 'killed', placements: ['MAM@0', 'SlowInfer@1'] },
    });
    expect(await isThere(shared())).toBe(false);
    expect([main, worker, guest].filter(isAlive)).toEqual([]);
    for (const model of ['MAM', 'SlowInfer']) {
      const error = await mic.untilError(model);
      expect(error.code).toBe('ENDED_OVER_API');
      expect(error.message).toMatch(/^ended over the API by (::ffff:)?127\.0\.0\.1 \(request /);
    }
    const calm = performance.now() + 4000; // many times the first delay of a restart
    await mic.until(async () => {
      expect(await mic.placements()).toEqual(['FastFitAll@2:RUNNING', 'qwen@0:RUNNING']);
      expect(await containersOf(mic.instanceName)).toHaveLength(1);
      return performance.now() > calm;
    });
    expect(await others()).toEqual(bystanders);
    expect(isAlive(stranger)).toBe(true);

    expect((await mic.start('MAM', 0)).status).toBe(202);
    expect((await mic.start('SlowInfer', 1)).status).toBe(202);
    await mic.untilRunning('FastFitAll@2', 'MAM@0', 'SlowInfer@1', 'qwen@0');
    expect((await mic.infer('MAM', [1, 2, 3, 4])).output).toEqual([3, 5, 7, 9]);
    expect((await shared().inspect()).Id).not.toBe(before);
    expect(await others()).toEqual(bystanders);
  });

  it.each<[string, () => Promise<unknown>, RegExp]>([
    ['has stopped', () => gate.shut(), /Cannot connect to the Docker daemon/],
    ['hangs', () => Promise.resolve((gate.isSilent = true)), /no answer within 5 s/],
  ])('while the Engine %s, nothing is claimed, and nothing in a container ended', async (_, lose, reason) => {
    const { pid: other = 0 } = plain;
    await lose();
    await nvml.place({ 0: [main, guest, stranger, other] });
    const seen = await untilOn(0, main, guest, stranger, other);
    const open = { ...NOBODYS, managed: null, container: expect.stringMatching(/^[0-9a-f]{12}$/) as unknown };
    // The main process is known by the placements that it serves.
    expect(seen.get(main)).toMatchObject({ placement: 'MAM@0', managed: true });
    expect(seen.get(guest)).toEqual(open);
    expect(seen.get(stranger)).toEqual(open);
    expect(seen.get(other)).toEqual({ ...NOBODYS, container: null });

    for (const pid of [guest, stranger]) {
      for (const query of ['', '?dry_run=true']) {
        expect(await end(pid, query)).toEqual({
          status: 503,
          body: { code: 'PROCESS_OWNER_UNKNOWN', detail: expect.stringMatching(reason) as unknown },
        });
      }
    }
    expect((await end(main, '?dry_run=true')).body).toMatchObject({
      message: expect.stringContaining('further processes') as unknown,
      placements: ['MAM@0', 'SlowInfer@1'],
    });
    expect((await end(other)).status).toBe(200);
    expect([main, worker, guest, stranger].filter(isAlive)).toEqual([main, worker, guest, stranger]);
    expect((await mic.infer('MAM', [1, 2, 3, 4])).status).toBe(200);

    if (gate.isSilent) gate.isSilent = false;
    else await gate.open();
    expect((await end(guest)).body).toMatchObject({ placements: ['MAM@0', 'SlowInfer@1'] });
    expect(await isThere(shared())).toBe(false);
  });

  it('DELETE of the main process while the Engine is away lasts: it is ended when the Engine is back', async () => {
    await gate.shut();
    expect(await end(main)).toMatchObject({ status: 500, body: { code: 'DOCKER_UNAVAILABLE' } });
    expect((await mic.untilError('MAM')).code).toBe('ENDED_OVER_API');
    await gate.open();
    await mic.until(async () => (await containersOf(mic.instanceName)).length === 1, 60_000);
    expect(await isThere(shared())).toBe(false);
    const calm = performance.now() + 4000;
    await mic.until(async () => {
      expect(await mic.placements()).toEqual(['FastFitAll@2:RUNNING', 'qwen@0:RUNNING']);
      expect(await containersOf(mic.instanceName)).toHaveLength(1);
      return performance.now() > calm;
    });
    expect((await mic.untilError('MAM')).code).toBe('ENDED_OVER_API');
  });
});
