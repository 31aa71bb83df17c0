import { Inject, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { CONFIG } from '../config/config.module.js';
import type { Config } from '../config/schema.js';
import { DockerLauncher } from './docker/docker-launcher.js';
import type { Launcher } from './launcher.js';
import { ProcessLauncher } from './process/process-launcher.js';

/** Token of the variables that no server inherits from this service. */
export const WITHHELD = Symbol('WITHHELD');

/** The launchers of this host, each made when it is first asked for. */
@Injectable()
export class LauncherRegistry implements OnApplicationShutdown {
  private readonly launchers = new Map<Launcher['kind'], Launcher>();
  /** Those that were made, in use or not: containers of others are asked about on a host whose servers are none, too. */
  private docker: DockerLauncher | undefined;
  private process: ProcessLauncher | undefined;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(WITHHELD) private readonly withheld: readonly string[],
  ) {}

  /** @throws a system error when the process launcher can't make its directory */
  get(kind: Launcher['kind']): Launcher {
    const existing = this.launchers.get(kind);
    if (existing) return existing;
    const created = this.create(kind);
    this.launchers.set(kind, created);
    return created;
  }

  /** The same for a look at what an earlier configuration has left: it is not in use by that. @throws like `get` */
  peek(kind: Launcher['kind']): Launcher {
    return this.create(kind);
  }

  /** Those that some runner uses: only they have servers. */
  inUse(): readonly Launcher[] {
    return [...this.launchers.values()];
  }

  /**
   * The Engine answers, and is of a version that will do; asked only where some runner uses it.
   * @throws EngineUnavailableError, EngineTooOldError
   */
  async requireEngine(signal: AbortSignal): Promise<void> {
    if (this.launchers.has('docker')) await this.docker?.requireEngine(signal);
  }

  /** Name of any Docker container of this host; `undefined` where there is none of that id. @throws EngineUnavailableError */
  async containerName(id: string, signal: AbortSignal): Promise<string | undefined> {
    this.docker ??= this.createDocker();
    return (await this.docker.container(id, signal))?.name;
  }

  /** Servers go on; only what watches them ends. */
  async onApplicationShutdown(): Promise<void> {
    const made = [this.docker, this.process].filter((launcher) => launcher !== undefined);
    await Promise.all(made.map((launcher) => launcher.close()));
  }

  private createDocker(): DockerLauncher {
    const { docker } = this.config.launchers;
    return new DockerLauncher({
      owner: this.config.instance_name,
      socketPath: docker.socket_path,
      requestTimeoutMs: docker.request_timeout_seconds * 1000,
      pullTimeoutMs: docker.pull_timeout_seconds * 1000,
    });
  }

  private create(kind: Launcher['kind']): Launcher {
    const { instance_name: owner, launchers, state } = this.config;
    switch (kind) {
      case 'docker':
        return (this.docker ??= this.createDocker());
      case 'process':
        return (this.process ??= new ProcessLauncher({
          owner,
          stateDir: state.dir,
          withheld: this.withheld,
          logMaxBytes: launchers.process.log_max_bytes,
        }));
    }
  }
}
