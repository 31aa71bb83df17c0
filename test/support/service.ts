import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse, stringify } from 'yaml';
import { freePorts } from './ports.js';
import { type PlacementErrorView, ServiceClient } from './service-client.js';
import { loadsInLogs, pidsOnRecord } from './process-records.js';
import { ServiceProcess } from './service-process.js';

/** Tests and benchmarks run from the top of the repository. */
const ROOT = process.cwd();

/** How the stand-in treats a model: its `standin.json`. */
export type StandinSettings = Record<string, unknown>;

export interface ServiceSettings {
  /** model → how the stand-in treats it; the models of the service. */
  readonly models?: Record<string, StandinSettings>;
  /** A model repository to copy instead: real models. */
  readonly repository?: string;
  /** Laid over the configuration of the test. */
  readonly triton?: Record<string, unknown>;
  /** Sections of further backends; what needs the directory of the service is a function of it. */
  readonly runners?: Record<string, unknown> | ((directory: string) => Promise<Record<string, unknown>>);
  readonly config?: Record<string, unknown>;
  /** `runners.vllm`, over the defaults. */
  readonly vllm?: (
    ports: { readonly from: number; readonly to: number },
    directory: string,
  ) => Record<string, unknown>;
  /** Of the service, over that of the test; the service is then a process of its own. */
  readonly env?: Readonly<Record<string, string>>;
  /** A process of its own from dist/server.js, as an operator starts it, instead of a host that has it loaded. */
  readonly process?: boolean;
}

/** Of the configuration file, what tests edit. */
export interface TestConfigFile {
  gpus: Record<string, unknown>;
  runners: Record<string, Record<string, unknown>>;
}

/**
 * The whole service in a process of Node, in a directory of its own, with the stand-in for Triton as its child. `dispose`
 * ends whatever it started.
 */
export class TestService extends ServiceClient {
  private running: ServiceProcess | undefined;
  private output = '';

  private constructor(
    readonly directory: string,
    port: number,
    readonly tritonPorts: { readonly http: number; readonly grpc: number; readonly metrics: number },
    /** The models of the stand-in have a batch dimension. */
    private readonly hasBatches: boolean,
    private readonly env: Readonly<Record<string, string>>,
    private readonly hasOwnProcess: boolean,
  ) {
    super(port);
  }

  static async create(settings: ServiceSettings = {}): Promise<TestService> {
    const directory = await mkdtemp(join(tmpdir(), 'mic-e2e-'));
    const [port = 0, http = 0, grpc = 0, metrics = 0, dedicated = 0, vllm = 0] = await freePorts(6);
    const service = new TestService(
      directory,
      port,
      { http, grpc, metrics },
      settings.repository === undefined,
      settings.env ?? {},
      settings.process === true || settings.env !== undefined,
    );
    const models = settings.models ?? { MAM: { load_seconds: 0.3 }, FastFitAll: { load_seconds: 0.3 } };
    if (settings.repository === undefined) {
      for (const [model, standin] of Object.entries(models)) await service.writeModel(model, standin);
    } else {
      await cp(settings.repository, service.repository, { recursive: true });
    }
    const config = {
      instance_name: service.instanceName,
      state: { dir: service.stateDir },
      gpus: { source: 'simulated' },
      ...settings.config,
      server: { port, ...(settings.config?.server as object | undefined) },
      runners: {
        ...(typeof settings.runners === 'function' ? await settings.runners(directory) : settings.runners),
        triton: {
          launcher: 'process',
          command: [process.execPath, join(ROOT, 'dist/standin/tritonserver.js')],
          model_repository_host_path: service.repository,
          runtime_host_path: null,
          http_port: http,
          grpc_port: grpc,
          metrics_port: metrics,
          dedicated_ports: { from: dedicated, to: dedicated + 20 },
          exit_timeout_seconds: 1,
          api_timeout_seconds: 10,
          supported_models:
            settings.repository === undefined ? Object.keys(models) : await readdir(settings.repository),
          ...settings.triton,
        },
        ...(settings.vllm && { vllm: settings.vllm({ from: vllm, to: vllm + 20 }, directory) }),
      },
    };
    await writeFile(service.configFile, stringify(config));
    return service;
  }

  /** What everything it launches is labelled with. */
  get instanceName(): string {
    return `test-${this.port}`;
  }

  get stateDir(): string {
    return join(this.directory, 'state');
  }

  get repository(): string {
    return join(this.directory, 'models');
  }

  get configFile(): string {
    return join(this.directory, 'config.yaml');
  }

  get pid(): number {
    const pid = this.running?.child.pid;
    if (pid === undefined) throw new Error('the service does not run');
    return pid;
  }

  /** What it has written to stdout and stderr. */
  get log(): string {
    return this.output;
  }

  /** Sets keys of `runners.triton` in the configuration file; read at the next boot. */
  async configure(change: { runners: { triton: Record<string, unknown> } }): Promise<void> {
    const config = parse(await readFile(this.configFile, 'utf8')) as {
      runners: { triton: Record<string, unknown> };
    };
    Object.assign(config.runners.triton, change.runners.triton);
    await writeFile(this.configFile, stringify(config));
  }

  /** Changes the sections of `runners` in the configuration file; read at the next boot. */
  async editRunners(edit: (runners: Record<string, Record<string, unknown>>) => void): Promise<void> {
    const config = parse(await readFile(this.configFile, 'utf8')) as {
      runners: Record<string, Record<string, unknown>>;
    };
    edit(config.runners);
    await writeFile(this.configFile, stringify(config));
  }

  /** Edits the configuration file; read at the next boot. */
  async edit(change: (config: TestConfigFile) => void): Promise<void> {
    const config = parse(await readFile(this.configFile, 'utf8')) as TestConfigFile;
    change(config);
    await writeFile(this.configFile, stringify(config));
  }

  /** Sets keys of `server` in the configuration file; read at the next boot. */
  async configureServer(change: Record<string, unknown>): Promise<void> {
    const config = parse(await readFile(this.configFile, 'utf8')) as { server: Record<string, unknown> };
    Object.assign(config.server, change);
    await writeFile(this.configFile, stringify(config));
  }

  async writeModel(model: string, standin: StandinSettings): Promise<void> {
    const directory = join(this.repository, model);
    await mkdir(directory, { recursive: true });
    await cp(join(ROOT, 'demo/model_repository/MAM'), directory, { recursive: true });
    const template = await readFile(join(directory, 'config.pbtxt.template'), 'utf8');
    await writeFile(join(directory, 'config.pbtxt.template'), template.replaceAll('MAM', model));
    await writeFile(join(directory, 'standin.json'), JSON.stringify(standin));
  }

  /**
   * Starts the service, and resolves when it answers.
   * @param wrapper a program that runs the service in its own place, by exec; the service is then a process of its own
   */
  async boot(wrapper: readonly string[] = []): Promise<void> {
    const { configFile, env } = this;
    const settings = { configFile, env, onOutput: (text: string) => (this.output += text) };
    const running =
      this.hasOwnProcess || wrapper.length > 0
        ? ServiceProcess.start(settings, wrapper)
        : await ServiceProcess.host(settings);
    this.running = running;
    await this.until(async () => {
      if (running.hasEnded)
        throw new Error(`the service ended with ${running.child.exitCode}:\n${this.output}`);
      return (await this.get('/health/ready')).status === 200;
    }, 30_000);
  }

  /**
   * Ends the process with a signal; its servers go on.
   * @returns the exit code; null when the signal ended it
   */
  async end(signal: NodeJS.Signals = 'SIGKILL'): Promise<number | null> {
    return (await this.running?.kill(signal)) ?? null;
  }

  /** Ends the service and every server it launched. */
  async dispose(): Promise<void> {
    const { running } = this;
    this.running = undefined;
    await running?.dispose();
    for (const pid of await this.serverPids()) {
      try {
        process.kill(-pid, 'SIGKILL');
      } catch {
        // It has ended already.
      }
    }
    await rm(this.directory, { recursive: true, force: true, maxRetries: 5 });
  }

  /** Main processes of the servers on record. */
  serverPids(): Promise<number[]> {
    return pidsOnRecord(this.stateDir);
  }

  /** `MAM@0` for every placement that is to serve, by the state on disk; sorted. */
  async desired(): Promise<string[]> {
    const text = await readFile(join(this.stateDir, 'desired-state.json'), 'utf8');
    const state = JSON.parse(text) as {
      deployments: { model_name: string; placements: { gpu_id: number; wanted: string }[] }[];
    };
    return state.deployments
      .flatMap(({ model_name: model, placements }) =>
        placements.filter(({ wanted }) => wanted === 'serve').map(({ gpu_id: gpu }) => `${model}@${gpu}`),
      )
      .sort();
  }

  async untilRunning(...placements: string[]): Promise<void> {
    const wanted = placements.map((placement) => `${placement}:RUNNING`).sort();
    await this.until(async () => JSON.stringify(await this.placements()) === JSON.stringify(wanted), 25_000);
  }

  async untilError(model: string, timeoutMs?: number): Promise<PlacementErrorView> {
    await this.until(async () => (await this.errorOf(model)) !== undefined, timeoutMs);
    return (await this.errorOf(model)) ?? { code: 'NONE', message: '' };
  }

  /** How often the servers have loaded the model and come to its end, by their logs. */
  loadsOf(model: string): Promise<number> {
    return loadsInLogs(this.stateDir, model);
  }

  /** Asks Triton itself; the connection is fresh, and the answer's first output. */
  async infer(model: string, values: readonly number[]): Promise<{ status: number; output: number[] }> {
    const shape = this.hasBatches ? [1, values.length] : [values.length];
    const response = await fetch(`http://127.0.0.1:${this.tritonPorts.http}/v2/models/${model}/infer`, {
      method: 'POST',
      headers: { Connection: 'close', 'Content-Type': 'application/json' },
      body: JSON.stringify({ inputs: [{ name: 'INPUT', datatype: 'FP32', shape, data: values }] }),
      signal: AbortSignal.timeout(30_000),
    });
    const answer = (await response.json()) as { outputs?: { data: number[] }[] };
    return { status: response.status, output: answer.outputs?.[0]?.data ?? [] };
  }

  /** Rows of Triton's repository index; empty when it does not run, or is not up yet. */
  async tritonIndex(): Promise<{ name: string; state?: string; reason?: string }[]> {
    try {
      const response = await fetch(`http://127.0.0.1:${this.tritonPorts.http}/v2/repository/index`, {
        method: 'POST',
        headers: { Connection: 'close' },
        signal: AbortSignal.timeout(5000),
      });
      if (!response.ok) return [];
      return (await response.json()) as { name: string; state?: string; reason?: string }[];
    } catch {
      return [];
    }
  }

  /** Looks often at first, and then less: what takes long is not cheaper for being looked at. */
  async until(condition: () => Promise<boolean>, timeoutMs = 25_000): Promise<void> {
    const start = performance.now();
    while (!(await condition())) {
      const elapsed = performance.now() - start;
      if (elapsed > timeoutMs)
        throw new Error(`not within ${timeoutMs} ms; log:\n${this.output.slice(-4000)}`);
      await sleep(Math.min(150, 30 + elapsed / 10));
    }
  }
}
