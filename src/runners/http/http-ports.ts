import * as z from 'zod';
import { nearest } from '../../common/nearest.js';
import { MAIN_PORT } from '../placement-server/server-ports.js';
import { placeholdersIn, PORT_PREFIX } from './http-template.js';

const NAME = /^[a-z][a-z0-9_]{0,31}$/;

/** The names that a model gives to further ports of its server. */
export const portNames = z.array(z.string().regex(NAME, 'small letters, digits and "_", a letter first'));

/** What of a model is about its ports. */
export interface PortUse {
  readonly ports: readonly string[];
  /** Arguments and values of variables, with placeholders. */
  readonly templates: readonly string[];
  /** Keys that name a port. */
  readonly references: readonly (readonly [path: readonly string[], port: string | undefined])[];
  /** Ports that the backend has for all its servers. */
  readonly range: { readonly from: number; readonly to: number };
}

type Fault = readonly [path: readonly (string | number)[], message: string];

/** What keeps a server from listening on its ports, or this service from asking there. */
export function portFaults({ ports, templates, references, range }: PortUse): Fault[] {
  const unknown = references.flatMap((reference) => referenceFault(reference, ports));
  if (ports.length === 0) return unknown;
  const faults: Fault[] = [];
  const [needed, size] = [ports.length + 1, range.to - range.from + 1];
  if (needed > size)
    faults.push([
      ['ports'],
      `a server has ${needed} ports with these, and runners.http.ports has ${size}: widen that range`,
    ]);
  // Nobody can listen on a port whose number nobody is told.
  const given = templates.flatMap(placeholdersIn);
  if (!given.includes('port') && !given.includes(`${PORT_PREFIX}${MAIN_PORT}`))
    faults.push([['ports'], `no server listens on ${MAIN_PORT}, the main port: say {port} in args or env`]);
  for (const [index, name] of ports.entries()) {
    const message = NAME.test(name) ? nameFault(name, ports.slice(0, index), given) : undefined;
    if (message !== undefined) faults.push([['ports', index], message]);
  }
  return [...faults, ...unknown];
}

function nameFault(
  name: string,
  earlier: readonly string[],
  placeholders: readonly string[],
): string | undefined {
  if (name === MAIN_PORT)
    return `${name} is the name of the port that every server has, {port}: leave it out`;
  if (earlier.includes(name)) return `${name} is there already`;
  if (placeholders.includes(`${PORT_PREFIX}${name}`)) return undefined;
  return `no server listens on ${name}: say {${PORT_PREFIX}${name}} in args or env`;
}

function referenceFault([path, port]: PortUse['references'][number], ports: readonly string[]): Fault[] {
  const known = [MAIN_PORT, ...ports];
  if (port === undefined || known.includes(port)) return [];
  return [[path, `${port} is no port of this model: ${insteadOf(nearest(port, known), known)}`]];
}

/** What there is instead of what is not, the nearest first. */
export function insteadOf(near: string | undefined, all: readonly string[]): string {
  const known = all.join(', ');
  return near === undefined ? `there are ${known}` : `is ${near} meant? There are ${known}`;
}
