import type { TritonConfig } from '../../config/sections/triton.js';
import type { Launcher } from '../../launchers/launcher.js';
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
