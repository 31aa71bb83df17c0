import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Answer, ServiceClient } from '../support/service-client.js';

export const MODEL = 'torch';
/** What the server takes by PyTorch, MiB. */
export const HELD_MIB = 512;

/** As `GET /gpus` has it. */
export interface GpuView {
  readonly id: number;
  readonly uuid: string | null;
  readonly memory_total: number | null;
  readonly memory_used: number | null;
  readonly utilization: number | null;
  readonly temperature: number | null;
  readonly power_draw: number | null;
  readonly error?: string;
  readonly processes: readonly {
    readonly pid: number;
    readonly gpu_memory_usage: number | null;
    readonly placement: string | null;
    readonly managed: boolean | null;
  }[];
}

interface StatusView {
  readonly gpu_id: number;
  readonly status: string;
  readonly pid: number | null;
  readonly port: number | null;
  readonly error?: { readonly code: string; readonly message: string };
}

/** `GET /state` of server.py. */
interface ServerState {
  readonly pid: number;
  readonly keeper_pid: number | null;
  readonly torch: string;
  readonly visible: string | null;
  readonly devices: number;
  readonly uuid: string;
  readonly peak_mib: number;
}

export interface RigSettings {
  /** The directory of this check: the archive, unpacked. */
  readonly directory: string;
  readonly python: string;
  readonly nvmlLibrary: string;
}

/** The real service with NVML, and a PyTorch server as its model. */
export class Rig {
  /** What the service has written. */
  log = '';

  private constructor(
    readonly api: ServiceClient,
    private readonly service: ChildProcess,
    private readonly directory: string,
  ) {}

  static async boot({ directory, python, nvmlLibrary }: RigSettings): Promise<Rig> {
    const work = await mkdtemp(join(tmpdir(), 'mic-gpu-check-'));
    const port = await freePort();
    const from = 18_500 + (process.pid % 400) * 20;
    const config = {
      instance_name: `gpu-check-${process.pid}`,
      server: { port },
      state: { dir: join(work, 'state') },
      // Whatever ends the service ends its servers.
      shutdown: { policy: 'stop' },
      gpus: {
        source: 'nvml',
        nvml_library: nvmlLibrary,
        learn_interval_seconds: 1,
        release_timeout_seconds: 3,
      },
      runners: {
        triton: { enabled: false },
        comfyui: { enabled: false },
        vllm: { enabled: false },
        http: {
          launcher: 'process',
          ports: { from, to: from + 19 },
          stop_grace_seconds: 30,
          models: {
            [MODEL]: {
              command: [python, join(directory, 'server.py')],
              args: ['--port', '{port}', '--mib', String(HELD_MIB), '--keeper', '{option.keeper}'],
              options: { keeper: { type: 'boolean', default: false } },
              health_path: '/health',
            },
          },
        },
      },
    };
    const configFile = join(work, 'config.json');
    await writeFile(configFile, JSON.stringify(config));
    const service = spawn(
      process.execPath,
      ['--max-semi-space-size=4', join(directory, 'service/dist/server.js')],
      { env: { ...process.env, MIC_CONFIG: configFile }, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const rig = new Rig(new ServiceClient(port), service, work);
    for (const stream of [service.stdout, service.stderr])
      stream.on('data', (chunk: Buffer) => (rig.log += chunk.toString()));
    await until('the service is ready', async () => {
      if (service.exitCode !== null) throw new Error(`the service ended:\n${rig.log}`);
      return (await rig.api.get('/health/ready')).status === 200;
    });
    return rig;
  }

  get pid(): number {
    return this.service.pid ?? 0;
  }

  /** @returns the exit code, or the signal by which it ended */
  async end(): Promise<number | string | null> {
    const ended = once(this.service, 'exit');
    this.service.kill('SIGTERM');
    await ended;
    await rm(this.directory, { recursive: true, force: true });
    return this.service.exitCode ?? this.service.signalCode;
  }

  async gpus(): Promise<GpuView[]> {
    const { status, body } = await this.api.get<GpuView[]>('/api/v1/gpus');
    if (status !== 200) throw new Error(`GET /gpus answers ${status}: ${JSON.stringify(body)}`);
    return body;
  }

  async status(gpu: number): Promise<StatusView | undefined> {
    const { body } = await this.api.get<StatusView[]>('/api/v1/models/status');
    return body.find(({ gpu_id: id }) => id === gpu);
  }

  /** Resolves when it serves. @returns how its server can be asked */
  async start(gpu: number, config: Record<string, unknown> = {}): Promise<PyTorchServer> {
    const started = await this.api.start(MODEL, gpu, config);
    if (started.status !== 202)
      throw new Error(`the start answers ${started.status}: ${JSON.stringify(started.body)}`);
    let view: StatusView | undefined;
    await until(`${MODEL} serves on GPU ${gpu}`, async () => {
      view = await this.status(gpu);
      if (view?.error) throw new Error(`${view.error.code}: ${view.error.message}`);
      return view?.status === 'RUNNING' && view.pid !== null;
    });
    return new PyTorchServer(view?.pid ?? 0, view?.port ?? 0);
  }

  stop(gpu: number, manner: Record<string, unknown> = {}): Promise<Answer> {
    return this.api.stop(MODEL, gpu, manner);
  }
}

export class PyTorchServer {
  constructor(
    readonly pid: number,
    private readonly port: number,
  ) {}

  async state(): Promise<ServerState> {
    return (await this.ask('/state')) as ServerState;
  }

  /** Returns at once. */
  async burn(seconds: number): Promise<void> {
    await this.ask(`/burn?seconds=${seconds}`);
  }

  private async ask(path: string): Promise<unknown> {
    const response = await fetch(`http://127.0.0.1:${this.port}${path}`, {
      headers: { Connection: 'close' },
    });
    return response.json();
  }
}

/** The fields of /proc/<pid>/stat from the state on; `undefined`: there is no such process. */
export function procStat(pid: number): readonly string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

export async function until(
  what: string,
  condition: () => Promise<boolean>,
  timeoutMs = 120_000,
): Promise<void> {
  const end = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${timeoutMs / 1000} s: ${what}`);
    await sleep(100);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address ? address.port : 0;
}
