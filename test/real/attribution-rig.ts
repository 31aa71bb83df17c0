import { afterAll, afterEach, beforeAll, beforeEach, describe, expect } from '@jest/globals';
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import type Docker from 'dockerode';
import { docker, engineAnswers, removeContainersOf } from '../support/docker.js';
import { NvmlDouble } from '../support/nvml-double.js';
import { freePorts } from '../support/ports.js';
import { createRealTriton, TRITON_IMAGE } from '../support/real-triton.js';
import type { TestService } from '../support/service.js';
import type { Answer } from '../support/service-client.js';
import { SocketGate } from '../support/socket-gate.js';

const LLAMA = join(process.cwd(), 'test/fakes/llama-server.mjs');

/** A process on a GPU, as far as it is about whose it is. */
interface Attributed {
  readonly model_name: string | null;
  readonly placement: string | null;
  readonly container: string | null;
  readonly owner: string | null;
  readonly managed: boolean | null;
}

export let nvml: NvmlDouble;
export let mic: TestService;
export let gate: SocketGate;
export let foreign: Docker.Container;
export let plain: ChildProcess;
/** Main process of the shared Triton, one of those that its models run in, and one that came by `docker exec`. */
export let main: number;
export let worker: number;
export let guest: number;
/** Main process of a container of others that looks like ours in all but the owner's label. */
export let stranger: number;

export const sharedName = (): string => `triton_${mic.instanceName}`;
export const foreignName = (): string => `${sharedName()}_MAM`;
export const shared = (): Docker.Container => docker.getContainer(sharedName());

export async function isThere(container: Docker.Container): Promise<boolean> {
  try {
    return (await container.inspect()).State.Running;
  } catch (error) {
    if ((error as { statusCode?: number }).statusCode === 404) return false;
    throw error;
  }
}

export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Every process of a container, by the Engine's word; the pids are the host's. */
export async function processesIn(container: Docker.Container): Promise<number[]> {
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
export async function others(): Promise<unknown> {
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
export async function untilOn(gpu: number, ...pids: number[]): Promise<Map<number, Attributed>> {
  let seen = new Map<number, Attributed>();
  await mic.until(async () => {
    seen = await attributedOn(gpu);
    return [...seen.keys()].sort().join() === [...pids].sort().join();
  });
  return seen;
}

export const end = (pid: number, query = ''): Promise<Answer> =>
  mic.call('DELETE', `/api/v1/processes/${pid}${query}`);

export const OURS_IN_SHARED = { owner: 'root', managed: true };
export const NOBODYS = { model_name: null, placement: null, owner: 'root', managed: false };

async function isReady(): Promise<boolean> {
  if (!(await engineAnswers())) return false;
  if (NvmlDouble.isBuildable()) return true;
  const text = 'gcc and nvml.h (libnvidia-ml-dev) are not there';
  if (process.env.REQUIRE_REAL === '1') throw new Error(`${text}: run test/real/provision/provision.sh`);
  process.stderr.write(`${text}: the tests of whose a process is are skipped.\n`);
  return false;
}

export const withReal = (await isReady()) ? describe : describe.skip;

/** Each case has a shared and a dedicated Triton, a server of another backend, a container of others and a plain process. */
export function useAttribution(): void {
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
}
