import { Mutex } from 'async-mutex';
import { PortInUseError, type ServerInfo } from '../launchers/launcher.js';

/** Ports that nobody else is given until they are released. */
export interface PortLease {
  readonly ports: readonly number[];
  release(): void;
}

export interface PortRangeOptions {
  readonly from: number;
  readonly to: number;
  /** Consecutive ports of each server. */
  readonly perServer: number;
  /** Address the ports listen on. */
  readonly address: string;
  /** The configuration's key, for the error. */
  readonly setting: string;
  /** Servers whose ports may be in the range. */
  readonly servers: (signal: AbortSignal) => Promise<readonly ServerInfo[]>;
  /** The ports a server was launched with, by its labels. */
  readonly portsOf: (labels: ServerInfo['labels']) => readonly number[];
  readonly isPortTaken: (address: string, port: number) => Promise<boolean>;
}

/**
 * Hands out ports of a range, some in a row for each server. What is taken is read off the servers there are and off the
 * host; what was handed out and not launched yet is leased, so that two launches never get the same.
 */
export class PortRange {
  private readonly lock = new Mutex();
  private readonly leases = new Map<PortLease, string>();

  constructor(private readonly options: PortRangeOptions) {}

  /** The server's own ports and leases count as free. @throws PortInUseError when the range is exhausted */
  lease(serverName: string, signal: AbortSignal): Promise<PortLease> {
    const { from, to, perServer, setting } = this.options;
    return this.lock.runExclusive(async () => {
      const taken = await this.takenByOthers(serverName, signal);
      for (let first = from; first + perServer - 1 <= to; first += perServer) {
        signal.throwIfAborted();
        const ports = Array.from({ length: perServer }, (_, index) => first + index);
        if (await this.areFree(ports, taken)) return this.leased(serverName, ports);
      }
      throw new PortInUseError(
        `Port ${from} already in use, and so is every other of ${setting} (${from}–${to}): widen that range.`,
      );
    });
  }

  private leased(serverName: string, ports: readonly number[]): PortLease {
    const lease: PortLease = {
      ports,
      release: () => {
        this.leases.delete(lease);
      },
    };
    this.leases.set(lease, serverName);
    return lease;
  }

  private async takenByOthers(serverName: string, signal: AbortSignal): Promise<ReadonlySet<number>> {
    const { servers, portsOf } = this.options;
    const others = (await servers(signal)).filter(({ name }) => name !== serverName);
    const leased = [...this.leases].filter(([, name]) => name !== serverName);
    return new Set([
      ...others.flatMap(({ labels }) => portsOf(labels)),
      ...leased.flatMap(([{ ports }]) => ports),
    ]);
  }

  private async areFree(ports: readonly number[], taken: ReadonlySet<number>): Promise<boolean> {
    if (ports.some((port) => taken.has(port))) return false;
    const { address, isPortTaken } = this.options;
    const busy = await Promise.all(ports.map((port) => isPortTaken(address, port)));
    return !busy.includes(true);
  }
}
