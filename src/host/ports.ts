import { createServer } from 'node:net';
import { Mutex } from 'async-mutex';
import { systemCodeOf } from '../common/errors.js';
import { holdsSocket } from './process-descriptors.js';
import { knownName } from './process-name.js';
import { listPids } from './process-table.js';
import { tcpSockets } from './tcp-table.js';

// Two probes of one port at once would each find it taken, by the other.
const probes = new Mutex();

/**
 * Whether something listens on `port` where a server on `address` would collide with it. A privileged port is not taken, and one
 * of an address that is not this host's is not either: `isForeign` tells of that.
 */
export async function isPortTaken(address: string, port: number): Promise<boolean> {
  return systemCodeOf(await listenFault(address, port)) === 'EADDRINUSE';
}

/** Why nobody can listen there now; `undefined` where one can. Port 0 stands for any that is free. */
export function listenFault(address: string, port: number): Promise<Error | undefined> {
  return probes.runExclusive(
    () =>
      new Promise<Error | undefined>((resolve) => {
        const probe = createServer();
        probe.once('error', resolve);
        probe.listen({ host: address, port, exclusive: true }, () => {
          probe.close(() => {
            resolve(undefined);
          });
        });
      }),
  );
}

/** Not an address of this host, no address, no name of one, or one of a protocol that is off. */
const FOREIGN = ['EADDRNOTAVAIL', 'ENOTFOUND', 'EAI_AGAIN', 'EINVAL', 'EAFNOSUPPORT'];

/** Whether nothing can listen on `address` here, whatever the port. */
export async function isForeign(address: string): Promise<boolean> {
  return FOREIGN.includes(systemCodeOf(await listenFault(address, 0)) ?? '');
}

/** Who listens on a port. */
export interface PortHolder {
  readonly pid: number;
  readonly command: string | undefined;
}

async function listeningInodes(port: number): Promise<ReadonlySet<string>> {
  const listening = (await tcpSockets()).filter(
    ({ localPort, state }) => localPort === port && state === 'listening',
  );
  return new Set(listening.map(({ inode }) => inode));
}

/** Every process that listens on `port`, as far as `/proc` tells; a socket can be shared by several. */
export async function portHolders(port: number): Promise<readonly PortHolder[]> {
  const inodes = await listeningInodes(port);
  if (inodes.size === 0) return [];
  const holders: PortHolder[] = [];
  for (const pid of await listPids()) {
    if (await holdsSocket(pid, inodes)) holders.push({ pid, command: knownName(pid) });
  }
  return holders;
}

/** The sentence of a PortInUseError. `holder` is who has it, `setting` the key that says which port, in words. */
export function portInUseMessage(port: number, holder: string | undefined, setting?: string): string {
  const where = setting === undefined ? '' : `: ${setting}`;
  const by = holder === undefined ? '' : ` by ${holder}`;
  return `Port ${port} already in use${by}: stop what uses it, or configure another port${where} (\`ss -ltnp 'sport = :${port}'\` shows who has it)`;
}

export function holderInWords(holders: readonly PortHolder[]): string | undefined {
  const [first] = holders;
  if (!first) return undefined;
  return first.command === undefined ? `process ${first.pid}` : `process ${first.pid} (${first.command})`;
}
