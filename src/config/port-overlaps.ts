import * as z from 'zod';
import type { BackendSection, PortClaim } from './backend-section.js';
import { tcpPort } from './sections/common.js';

interface BackendClaim extends PortClaim {
  readonly backend: string;
}

type Sections = readonly (readonly [BackendSection, section: unknown])[];

/** A key whose ports another key has, too. */
export interface PortOverlap {
  /** The key, from the name of the backend on. */
  readonly path: string[];
  readonly message: string;
}

const withRange = z.object({ ports: z.object({ from: tcpPort, to: tcpPort }) });

/** The claim of the key `ports`; none where that is not valid. */
function rangeOf(section: unknown): PortClaim[] {
  const { data } = withRange.safeParse(section);
  return data ? [{ key: 'ports', ...data.ports }] : [];
}

/** The ports that a section gives to servers. */
export function claimsOf({ portsOf = rangeOf }: BackendSection, section: unknown): readonly PortClaim[] {
  return portsOf(section);
}

/** Overlaps between the ports of these backends; what is not valid by itself is passed over. */
export function portOverlaps(sections: Sections): PortOverlap[] {
  const claims = allClaims(sections);
  return claims.flatMap((claim, index) =>
    claims
      .slice(0, index)
      .flatMap((earlier) => (overlap(claim, earlier) ? [overlapOf(claim, keyOf(earlier), earlier)] : [])),
  );
}

/** Ports of these backends that are a port of the service, too. @param own with its whole key */
export function portOverlapsWith(own: PortClaim, sections: Sections): PortOverlap[] {
  return allClaims(sections)
    .filter((claim) => haveSome(claim, own))
    .map((claim) => overlapOf(claim, own.key, own));
}

function allClaims(sections: Sections): BackendClaim[] {
  return sections.flatMap(([backend, section]) =>
    claimsOf(backend, section).map((claim): BackendClaim => ({ ...claim, backend: backend.name })),
  );
}

/** Two single ports of one backend are compared by its own section. */
function overlap(one: BackendClaim, other: BackendClaim): boolean {
  const isOwnMatter = one.backend === other.backend && isSingle(one) && isSingle(other);
  return !isOwnMatter && haveSome(one, other);
}

function haveSome(one: PortClaim, other: PortClaim): boolean {
  return one.from <= other.to && other.from <= one.to;
}

function isSingle({ from, to }: PortClaim): boolean {
  return from === to;
}

function keyOf({ backend, key }: BackendClaim): string {
  return `runners.${backend}.${key}`;
}

function overlapOf(claim: BackendClaim, otherKey: string, otherPorts: PortClaim): PortOverlap {
  const other = `${otherKey} (${portsInWords(otherPorts)})`;
  return {
    path: [claim.backend, claim.key],
    message: `${portsInWords(claim)} overlaps ${other}: give each its own ports`,
  };
}

function portsInWords(claim: PortClaim): string {
  return isSingle(claim) ? String(claim.from) : `${claim.from}-${claim.to}`;
}
