import type { GpuHoldings, Occupant } from './occupant.js';

/** Memory that is not taken yet and will be. */
export interface Reserved {
  readonly modelNames: readonly string[];
  readonly mib: number;
}

/** How the memory of a GPU adds up for one start, MiB. */
export interface MemoryBalance {
  readonly totalMiB: number;
  readonly usedMiB: number;
  readonly reserved: readonly Reserved[];
  /** In use by the model itself, which lets go of it before it starts. */
  readonly returnedMiB: number;
  /** total − used − reserved + returned; negative when more is promised than there is. */
  readonly leftMiB: number;
}

/**
 * What is left on a GPU for `modelName`. A server's placements may yet grow to their estimates: what its processes hold
 * now is in use already, the rest is reserved.
 *
 * Where what a server holds cannot be told apart (a placement of it has no estimate or is leaving, or the driver does not
 * tell), those that run are taken to hold what they need, and those that start or sleep to hold nothing.
 */
export function balanceOf(
  gpu: GpuHoldings,
  occupants: readonly Occupant[],
  modelName: string,
  needMiB: number,
): MemoryBalance {
  const reserved = servers(occupants)
    .map((placements) => ({
      modelNames: placements.filter(({ state }) => state !== 'leaving').map((each) => each.modelName),
      mib: outstandingOf(placements, gpu),
    }))
    .filter(({ mib }) => mib > 0);
  const own = occupants.find((each) => each.modelName === modelName && each.state === 'leaving');
  const ownPid = own?.pid ?? null;
  const ownHeld = ownPid === null ? 0 : (gpu.heldByServer.get(ownPid) ?? 0);
  const returnedMiB = Math.min(ownHeld, own?.estimateMiB ?? needMiB);
  const { totalMiB, usedMiB } = gpu;
  const reservedMiB = reserved.reduce((sum, { mib }) => sum + mib, 0);
  return {
    totalMiB,
    usedMiB,
    reserved,
    returnedMiB,
    leftMiB: totalMiB - usedMiB - reservedMiB + returnedMiB,
  };
}

/** Placements by server; one whose server has no pid yet stands alone. */
function servers(occupants: readonly Occupant[]): Occupant[][] {
  const byPid = new Map<number, Occupant[]>();
  const alone: Occupant[][] = [];
  for (const occupant of occupants) {
    if (occupant.pid === null) alone.push([occupant]);
    else byPid.set(occupant.pid, [...(byPid.get(occupant.pid) ?? []), occupant]);
  }
  return [...byPid.values(), ...alone];
}

function outstandingOf(placements: readonly Occupant[], gpu: GpuHoldings): number {
  const pid = placements[0]?.pid ?? null;
  const held = pid === null ? undefined : gpu.heldByServer.get(pid);
  const staying = placements.filter(({ state }) => state !== 'leaving');
  const isToldApart =
    typeof held === 'number' &&
    staying.length === placements.length &&
    staying.every(({ estimateMiB }) => estimateMiB !== null);
  if (isToldApart) return Math.max(0, sumOf(staying) - held);
  return sumOf(staying.filter(({ state, sleeping }) => state === 'starting' || sleeping));
}

function sumOf(occupants: readonly Occupant[]): number {
  return occupants.reduce((sum, { estimateMiB }) => sum + (estimateMiB ?? 0), 0);
}
