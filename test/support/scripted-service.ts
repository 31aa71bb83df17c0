import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts } from './ports.js';
import { type ServiceSettings, TestService } from './service.js';
import type { PlacementErrorView } from './service-client.js';

/** From RUNNING until the start itself has had its last look at the server, ms: who dies before has failed to start. */
const SETTLED_MS = 300;
const SERVER = join(process.cwd(), 'test/fakes/scripted-server.mjs');

/** How the servers of one GPU behave; read at each launch. */
export interface Manner {
  /** Time until the health path answers 200. */
  readonly readyAfterMs?: number;
  /** The server ends with this code as soon as it is launched. */
  readonly exitCode?: number;
  /** SIGTERM has no effect. */
  readonly isDeaf?: boolean;
  /** What the drain counts. */
  readonly openRequests?: number;
}

/** A launch, by what the server itself wrote. */
export interface Launch {
  /** Wall clock, ms: the start of its process. */
  readonly at: number;
  readonly pid: number;
}

/** An item of `GET /models/status/{model}`. */
export interface StatusItem {
  readonly gpu_id: number;
  readonly status: string;
  readonly progress?: string;
  readonly error?: PlacementErrorView;
}

export interface ScriptedSettings extends ServiceSettings {
  /** model → its keys of `runners.http.models`, over the defaults. */
  readonly scripted: Readonly<Record<string, Record<string, unknown>>>;
}

/** The whole service with models of the `http` backend, of which each GPU has a server of its own manner. */
export class ScriptedService {
  private constructor(readonly service: TestService) {}

  /** Probes are frequent, so that what a test measures is not the wait for the next one. */
  static async boot({ scripted, config, ...settings }: ScriptedSettings): Promise<ScriptedService> {
    const [from = 0] = await freePorts(1);
    const service = await TestService.create({
      ...settings,
      config: {
        health: { fast_interval_ms: 50, slow_interval_ms: 100, probe_timeout_ms: 300 },
        ...config,
      },
      runners: async (directory) => {
        await mkdir(scripts(directory));
        const files = join(scripts(directory), '{model}-{gpu_id}');
        const defaults = {
          command: [process.execPath, SERVER],
          args: ['--host', '{host}', '--port', '{port}', '--files', files],
          health_path: '/health',
        };
        const models = Object.fromEntries(
          Object.entries(scripted).map(([model, keys]) => [model, { ...defaults, ...keys }]),
        );
        return { http: { launcher: 'process', ports: { from, to: from + 20 }, models } };
      },
    });
    await service.boot();
    return new ScriptedService(service);
  }

  dispose(): Promise<void> {
    return this.service.dispose();
  }

  /** From its next launch on, the server behaves so. */
  async plays(model: string, gpu: number, manner: Manner): Promise<void> {
    await writeFile(`${this.files(model, gpu)}.json`, JSON.stringify(manner));
  }

  /** All launches on a GPU so far, in order. */
  async launches(model: string, gpu: number): Promise<Launch[]> {
    const text = await readFile(`${this.files(model, gpu)}.launches`, 'utf8').catch(() => '');
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.split(' ').map(Number))
      .map(([at = 0, pid = 0]) => ({ at, pid }));
  }

  /** The `count`th launch on a GPU, once it has come. */
  async launch(model: string, gpu: number, count: number, timeoutMs?: number): Promise<Launch> {
    let launch: Launch | undefined;
    await this.service.until(async () => {
      launch = (await this.launches(model, gpu))[count - 1];
      return launch !== undefined;
    }, timeoutMs);
    return launch ?? { at: 0, pid: 0 };
  }

  /** Starts the model on these GPUs, in this order, and waits until it serves there. */
  async running(model: string, ...gpus: readonly number[]): Promise<void> {
    for (const gpu of gpus) await this.service.start(model, gpu);
    await this.untilStatus(model, Object.fromEntries(gpus.map((gpu) => [gpu, 'RUNNING'])));
    await sleep(SETTLED_MS);
  }

  /** Sends a signal to the server that was launched last on a GPU; says when, wall clock, ms. */
  async signal(model: string, gpu: number, signal: NodeJS.Signals): Promise<number> {
    const last = (await this.launches(model, gpu)).at(-1);
    if (!last) throw new Error(`${model} was never launched on GPU ${gpu}`);
    process.kill(last.pid, signal);
    return Date.now();
  }

  async status(model: string): Promise<StatusItem[]> {
    const { body } = await this.service.get<StatusItem[]>(`/api/v1/models/status/${model}`);
    return Array.isArray(body) ? body : [];
  }

  async statusOn(model: string, gpu: number): Promise<StatusItem | undefined> {
    return (await this.status(model)).find(({ gpu_id: id }) => id === gpu);
  }

  /** The model has, on each of these GPUs, this status. */
  async untilStatus(
    model: string,
    wanted: Readonly<Record<number, string>>,
    timeoutMs?: number,
  ): Promise<void> {
    await this.service.until(async () => {
      const items = await this.status(model);
      return Object.entries(wanted).every(([gpu, status]) =>
        items.some((item) => item.gpu_id === Number(gpu) && item.status === status),
      );
    }, timeoutMs);
  }

  /** `RUNNING → STARTING`, … of a placement, by the log of the service. */
  transitions(model: string, gpu: number): string[] {
    return this.service.log
      .split('\n')
      .filter((line) => line.includes(`"msg":"${model} on GPU ${gpu}: `))
      .map((line) => /GPU \d+: (\w+ → \w+)/.exec(line)?.[1] ?? '');
  }

  private files(model: string, gpu: number): string {
    return join(scripts(this.service.directory), `${model}-${gpu}`);
  }
}

function scripts(directory: string): string {
  return join(directory, 'scripts');
}
