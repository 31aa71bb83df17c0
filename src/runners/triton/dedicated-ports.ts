import { BACKEND_LABEL, type Launcher } from '../../launchers/launcher.js';
import { type OtherServers, PortRange, type PortSource } from '../port-range.js';
import type { TritonConfig } from './triton-section.js';
import { portsOf, TRITON } from './launch-spec.js';

/** Ports for dedicated servers, three in a row from `dedicated_ports`: of a server that runs, its labels tell them. */
export class DedicatedPorts {
  private readonly range: PortRange;

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

  of(serverName: string): PortSource {
    const others: OtherServers = async (signal) => {
      const infos = await this.launcher.list({ [BACKEND_LABEL]: TRITON }, signal);
      // The ports of the dead are free, or seen to be taken.
      return infos.filter(({ running }) => running);
    };
    return this.range.of(serverName, others);
  }
}
