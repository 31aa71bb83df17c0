import { Mutex } from 'async-mutex';
import type { TritonConfig } from '../../config/sections/triton.js';
import { BACKEND_LABEL, type Launcher, PortInUseError } from '../../launchers/launcher.js';
import { portsOf, TRITON, type TritonPorts } from './launch-spec.js';

const PORTS_PER_SERVER = 3;

/**
 * Ports for dedicated servers, three in a row from `dedicated_ports`. What is taken is read off the servers there are;
 * what was handed out and not launched yet is remembered per server, so that two launches never get the same.
 */
export class DedicatedPorts {
  private readonly lock = new Mutex();
  private readonly handedOut = new Map<string, TritonPorts>();

  constructor(
    private readonly config: TritonConfig,
    private readonly launcher: Launcher,
    private readonly isPortTaken: (address: string, port: number) => Promise<boolean>,
  ) {}

  /** @throws PortInUseError when the range is exhausted */
  async choose(serverName: string, signal: AbortSignal): Promise<TritonPorts> {
    return this.lock.runExclusive(async () => {
      const servers = await this.launcher.list({ [BACKEND_LABEL]: TRITON }, signal);
      const others = [
        ...servers.filter((server) => server.name !== serverName).map((server) => portsOf(server.labels)),
        ...[...this.handedOut].filter(([name]) => name !== serverName).map(([, ports]) => ports),
      ];
      const taken = new Set(
        others.flatMap((ports) => (ports ? [ports.http, ports.grpc, ports.metrics] : [])),
      );
      const { from, to } = this.config.dedicated_ports;
      for (let http = from; http + PORTS_PER_SERVER - 1 <= to; http += PORTS_PER_SERVER) {
        const ports = { http, grpc: http + 1, metrics: http + 2 };
        if (await this.areFree(ports, taken)) {
          this.handedOut.set(serverName, ports);
          return ports;
        }
      }
      throw new PortInUseError(
        `Port ${from} already in use, and so is every other of runners.triton.dedicated_ports (${from}–${to}): widen that range.`,
      );
    });
  }

  private async areFree(ports: TritonPorts, taken: ReadonlySet<number>): Promise<boolean> {
    const numbers = [ports.http, ports.grpc, ports.metrics];
    if (numbers.some((port) => taken.has(port))) return false;
    const busy = await Promise.all(numbers.map((port) => this.isPortTaken(this.config.bind_address, port)));
    return !busy.includes(true);
  }
}
