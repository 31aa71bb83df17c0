import { socketsOf } from '../../host/process-descriptors.js';
import type { ProcessRow } from '../../host/process-identity.js';
import { tcpSockets } from '../../host/tcp-table.js';

/**
 * The processes that a polite stop asks first: the main process, which knows how to end its workers. A main process that
 * listens nowhere itself is a wrapper (a shell, `conda run`); many wrappers pass no signal on, so the server below it is
 * asked together with it.
 */
export interface ServerFront {
  readonly rows: readonly ProcessRow[];
  /** TCP ports on which clients reach the server. */
  readonly ports: ReadonlySet<number>;
}

/**
 * The front of the server with the main process `leaderPid`, out of all its living processes. `undefined` where the main
 * process is gone, or no process of the server listens: no request can be lost then.
 */
export async function frontOf(
  leaderPid: number | undefined,
  family: readonly ProcessRow[],
): Promise<ServerFront | undefined> {
  const leader = family.find(({ pid }) => pid === leaderPid);
  const portsOf = leader ? await listeningPorts(family) : new Map<number, ReadonlySet<number>>();
  if (!leader || portsOf.size === 0) return undefined;
  const rows = new Set<ProcessRow>();
  const ports = new Set<number>();
  const walk = (row: ProcessRow): boolean => {
    const own = portsOf.get(row.pid);
    for (const port of own ?? []) ports.add(port);
    const children = own
      ? []
      : family.filter(({ parentPid, pid }) => parentPid === row.pid && pid !== row.pid);
    const leadsToServer = children.map(walk).includes(true);
    if (!own && !leadsToServer) return false;
    rows.add(row);
    return true;
  };
  return walk(leader) ? { rows: [...rows], ports } : undefined;
}

/** Whether a client is connected to one of these ports: it may wait for an answer. */
export async function hasClients(ports: ReadonlySet<number>): Promise<boolean> {
  return (await tcpSockets()).some(
    ({ localPort, state, inode }) => state === 'connected' && inode !== '0' && ports.has(localPort),
  );
}

/** The TCP ports on which each of these processes listens; those that listen on none are left out. */
async function listeningPorts(rows: readonly ProcessRow[]): Promise<Map<number, ReadonlySet<number>>> {
  const listening = new Map(
    (await tcpSockets())
      .filter(({ state }) => state === 'listening')
      .map(({ inode, localPort }) => [inode, localPort]),
  );
  const found = new Map<number, ReadonlySet<number>>();
  for (const { pid } of rows) {
    const ports = new Set<number>();
    for await (const inode of socketsOf(pid)) {
      const port = listening.get(inode);
      if (port !== undefined) ports.add(port);
    }
    if (ports.size > 0) found.set(pid, ports);
  }
  return found;
}
