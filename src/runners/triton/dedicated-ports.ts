import { BACKEND_LABEL, type Launcher } from '../../launchers/launcher.js';
import { type OtherServers, type PortLease, PortRange } from '../port-range.js';
import type { TritonConfig } from './triton-section.js';
import { portsOf, TRITON, type TritonPorts } from './launch-spec.js';

/** Ports for dedicated servers, three in a row from `dedicated_ports`, each server's until it is given others. */
export class DedicatedPorts {
  private readonly range: PortRange;
  private readonly leases = new Map<string, PortLease>();

  constructor(
    config: TritonConfig,
    private readonly launcher: Launcher,
    isPortTaken: (address: string, port: number) => Promise<boolean>,
  ) {
    this.range = new PortRange({
      ...config.dedicated_ports,
      inARow: 3,
      address: config.bind_address,
      setting: 'runners.triton.dedicated_ports',
      portsOf: (labels) => {
        const ports = portsOf(labels);
        return ports ? [ports.http, ports.grpc, ports.metrics] : [];
      },
      isPortTaken,
    });
  }

  /** @throws PortInUseError when the range is exhausted */
  async choose(serverName: string, signal: AbortSignal): Promise<TritonPorts> {
    const others: OtherServers = (limit) => this.launcher.list({ [BACKEND_LABEL]: TRITON }, limit);
    const lease = await this.range.lease(serverName, others, signal);
    this.leases.get(serverName)?.release();
    this.leases.set(serverName, lease);
    const [http = 0, grpc = 0, metrics = 0] = lease.ports;
    return { http, grpc, metrics };
  }
}
