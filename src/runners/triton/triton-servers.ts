import type { Launcher } from '../../launchers/launcher.js';
import type { TritonConfig } from './triton-section.js';
import { DedicatedPorts } from './dedicated-ports.js';
import { modelGpuConfig } from './triton-options.js';
import { TritonServer } from './triton-server.js';

/** Which server serves which model: the shared one, or a model's own. */
export class TritonServers {
  private readonly shared: TritonServer;
  private readonly dedicated = new Map<string, TritonServer>();
  private readonly ports: DedicatedPorts;

  constructor(
    private readonly config: TritonConfig,
    private readonly launcher: Launcher,
    isPortTaken: (address: string, port: number) => Promise<boolean>,
  ) {
    this.ports = new DedicatedPorts(config, launcher, isPortTaken);
    this.shared = new TritonServer(
      {
        name: config.container_name,
        choosePorts: () =>
          Promise.resolve({ http: config.http_port, grpc: config.grpc_port, metrics: config.metrics_port }),
      },
      launcher,
      config,
    );
  }

  get sharedName(): string {
    return this.shared.name;
  }

  /** Whoever has this name: a server of this configuration or one of an earlier. */
  named(name: string, models: readonly string[]): TritonServer {
    const known = [this.shared, ...models.map((model) => this.of(model))];
    return known.find((server) => server.name === name) ?? this.former(name);
  }

  /** One that this configuration would not launch. */
  private former(name: string): TritonServer {
    const refuse = (): Promise<never> => Promise.reject(new Error(`${name} is not launched any more`));
    return new TritonServer({ name, choosePorts: refuse }, this.launcher, this.config);
  }

  of(model: string): TritonServer {
    if (!modelGpuConfig(this.config, model).use_dedicated_server) return this.shared;
    const existing = this.dedicated.get(model);
    if (existing) return existing;
    const name = `${this.config.container_name}_${model}`;
    const server = new TritonServer(
      { name, model, choosePorts: (signal) => this.ports.choose(name, signal) },
      this.launcher,
      this.config,
    );
    this.dedicated.set(model, server);
    return server;
  }
}
