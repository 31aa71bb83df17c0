import { performance } from 'node:perf_hooks';
import { Mutex } from 'async-mutex';
import { PortInUseError, type ServerInfo } from '../launchers/launcher.js';

/** Ports that nobody else is given until they are released. */
export interface PortLease {
  readonly ports: readonly number[];
  release(): void;
}

/** The ports of one server. */
export interface PortSource {
  /**
   * Those that a launch would get now. Nobody is kept from them.
   * @param rows how many rows the server needs, wherever in the range each is; 1 unless given
   * @throws PortInUseError when the range is exhausted
   */
  look(signal: AbortSignal, rows?: number): Promise<readonly number[]>;
  /** Those for a launch, to be released when that is over: the server's labels tell them then. @throws like `look` */
  lease(signal: AbortSignal, rows?: number): Promise<PortLease>;
}

/** Ports that a server has by the configuration, and shares with nobody. */
export function fixedPorts(ports: readonly number[]): PortSource {
  return {
    look: () => Promise.resolve(ports),
    lease: () => Promise.resolve({ ports, release: () => undefined }),
  };
}

export interface PortRangeOptions {
  readonly from: number;
  readonly to: number;
  /** Ports that are handed out together, in a row. */
  readonly inARow: number;
  /** Address the ports listen on. */
  readonly address: string;
  /** The configuration's key, for the error. */
  readonly setting: string;
  /** The ports a server was launched with, by its labels. */
  readonly portsOf: (labels: ServerInfo['labels']) => readonly number[];
  readonly isPortTaken: (address: string, port: number) => Promise<boolean>;
}

/** Servers whose ports may be in the range, as far as the one that wants a port has to ask for them. */
export type OtherServers = (signal: AbortSignal) => Promise<readonly ServerInfo[]>;

/** Time, ms, for which the ports of a launch that is over are remembered: no list of servers takes longer. */
const MEMORY_MS = 60_000;

/**
 * Hands out ports of a range, some in a row for each server. What is taken is read off the servers there are and off the
 * host; what was handed out and not launched yet is leased, so that two launches never get the same. The servers are asked
 * for outside of the lock, so that an Engine that hangs holds up nobody else.
 */
export class PortRange {
  private readonly lock = new Mutex();
  private readonly leases = new Map<PortLease, string>();
  /** Leases that were released, with the time, ms: their servers may be missing in a list that began earlier. */
  private released: readonly {
    readonly lease: PortLease;
    readonly serverName: string;
    readonly atMs: number;
  }[] = [];

  constructor(private readonly options: PortRangeOptions) {}

  /** For one server, whose own ports and leases count as free. */
  of(serverName: string, others: OtherServers): PortSource {
    return {
      look: (signal, rows = 1) => this.find(serverName, rows, others, signal, (ports) => ports),
      lease: (signal, rows = 1) =>
        this.find(serverName, rows, others, signal, (ports) => this.leased(serverName, ports)),
    };
  }

  /** @param take what to do with free ports, before anybody else looks */
  private async find<T>(
    serverName: string,
    rows: number,
    others: OtherServers,
    signal: AbortSignal,
    take: (ports: readonly number[]) => T,
  ): Promise<T> {
    const { from, to, inARow } = this.options;
    const sinceMs = performance.now();
    const infos = await others(signal);
    return this.lock.runExclusive(async () => {
      const taken = this.takenByOthers(serverName, infos, sinceMs);
      const found: number[] = [];
      for (let first = from; first + inARow - 1 <= to; first += inARow) {
        signal.throwIfAborted();
        const row = Array.from({ length: inARow }, (_, index) => first + index);
        if (await this.areFree(row, taken)) found.push(...row);
        if (found.length === rows * inARow) return take(found);
      }
      throw new PortInUseError(this.exhausted(serverName, rows * inARow, found.length));
    });
  }

  private exhausted(serverName: string, wanted: number, free: number): string {
    const { from, to, setting } = this.options;
    if (free === 0)
      return `Port ${from} already in use, and so is every other of ${setting} (${from}–${to}): widen that range.`;
    return `Ports of ${setting} (${from}–${to}) already in use: ${serverName} needs ${wanted}, and no more than ${free} can be had: widen that range.`;
  }

  private leased(serverName: string, ports: readonly number[]): PortLease {
    const lease: PortLease = {
      ports,
      release: () => {
        if (!this.leases.delete(lease)) return;
        const atMs = performance.now();
        const recent = this.released.filter((each) => atMs - each.atMs < MEMORY_MS);
        this.released = [...recent, { lease, serverName, atMs }];
      },
    };
    this.leases.set(lease, serverName);
    return lease;
  }

  /** @param sinceMs when the list of servers was asked for */
  private takenByOthers(
    serverName: string,
    servers: readonly ServerInfo[],
    sinceMs: number,
  ): ReadonlySet<number> {
    const others = servers.filter(({ name }) => name !== serverName);
    const leased = [...this.leases].filter(([, name]) => name !== serverName);
    const late = this.released.filter((each) => each.serverName !== serverName && each.atMs >= sinceMs);
    return new Set([
      ...others.flatMap(({ labels }) => this.options.portsOf(labels)),
      ...leased.flatMap(([{ ports }]) => ports),
      ...late.flatMap(({ lease }) => lease.ports),
    ]);
  }

  private async areFree(ports: readonly number[], taken: ReadonlySet<number>): Promise<boolean> {
    if (ports.some((port) => taken.has(port))) return false;
    const { address, isPortTaken } = this.options;
    const busy = await Promise.all(ports.map((port) => isPortTaken(address, port)));
    return !busy.includes(true);
  }
}
