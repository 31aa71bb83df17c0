import { readFile } from 'node:fs/promises';

/** A TCP socket of this network namespace. */
export interface TcpSocket {
  readonly localPort: number;
  readonly state: 'listening' | 'connected' | 'other';
  /** `0` while no process has it: a connection that nobody has accepted yet, or one that is being closed. */
  readonly inode: string;
}

/** As `/proc/net/tcp` has them. Half closed by the client is no longer connected: nobody waits for an answer there. */
const STATES: Readonly<Record<string, TcpSocket['state']>> = { '0A': 'listening', '01': 'connected' };

/** A line of `/proc/net/tcp` or `tcp6`; `undefined` for the heading. */
export function parseTcpLine(line: string): TcpSocket | undefined {
  const [, local = '', , state = '', , , , , , inode] = line.trim().split(/\s+/);
  const localPort = Number.parseInt(local.slice(local.lastIndexOf(':') + 1), 16);
  if (inode === undefined || Number.isNaN(localPort)) return undefined;
  return { localPort, state: STATES[state] ?? 'other', inode };
}

/** Every TCP socket, of IPv4 and IPv6. None where there is no `/proc`. */
export async function tcpSockets(): Promise<readonly TcpSocket[]> {
  const sockets: TcpSocket[] = [];
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    // No IPv6, or no /proc: nothing to learn here.
    const content = await readFile(table, 'utf8').catch(() => '');
    sockets.push(...content.split('\n').flatMap((line) => parseTcpLine(line) ?? []));
  }
  return sockets;
}
