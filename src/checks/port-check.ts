import { readFile } from 'node:fs/promises';
import { type Check, fault, type Fault } from './check.js';

/** Ports, both ends included, that a key of the configuration gives away. */
export interface NamedPorts {
  readonly path: string;
  readonly from: number;
  readonly to: number;
}

type Range = Pick<NamedPorts, 'from' | 'to'>;

const SETTINGS = '/proc/sys/net/ipv4';

/** Ports of the configuration that Linux hands out to outgoing connections may be taken at any moment. */
export function portCheck(claims: readonly NamedPorts[], settings = SETTINGS): Check {
  return {
    name: 'ports',
    late: 'PREFLIGHT_TIMEOUT',
    run: async () => {
      const ephemeral = await rangeIn(`${settings}/ip_local_port_range`);
      if (!ephemeral) return [];
      const reserved = rangesOf(await read(`${settings}/ip_local_reserved_ports`));
      return claims
        .filter((claim) => isExposed(claim, ephemeral, reserved))
        .map((claim): Fault => {
          const ports = claim.from === claim.to ? String(claim.from) : `${claim.from}-${claim.to}`;
          return fault(
            `${claim.path} (${ports}) is within ${ephemeral.from}-${ephemeral.to}, which outgoing connections of this host get (net.ipv4.ip_local_port_range): another program may have a port of it at any moment.`,
            `Choose ports outside of that range, or keep these out of it: \`sysctl -w net.ipv4.ip_local_reserved_ports=${ports}\`, with what it holds already.`,
          );
        });
    },
  };
}

function isExposed({ from, to }: Range, ephemeral: Range, reserved: readonly Range[]): boolean {
  const first = Math.max(from, ephemeral.from);
  const last = Math.min(to, ephemeral.to);
  for (let port = first; port <= last; port += 1) {
    if (!reserved.some((range) => range.from <= port && port <= range.to)) return true;
  }
  return false;
}

async function rangeIn(path: string): Promise<Range | undefined> {
  const [from, to] = (await read(path)).split(/\s+/).map(Number);
  return from && to ? { from, to } : undefined;
}

/** `8000-8002,9000`. Source: kernel.org, "ip_local_reserved_ports". */
function rangesOf(text: string): Range[] {
  return text
    .split(',')
    .filter((part) => /^\d+(-\d+)?$/.test(part))
    .map((part) => {
      const [from = 0, to = from] = part.split('-').map(Number);
      return { from, to };
    });
}

async function read(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch {
    return ''; // not Linux, or hidden
  }
}
