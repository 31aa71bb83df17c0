import type { GpuSample } from '../../gpus/gpu-provider.js';
import { nearestAncestor } from '../../host/process-parent.js';
import type { GpuHoldings } from './occupant.js';

/** A reading, with its processes told apart by server. A GPU whose memory was not read is left out. */
export async function holdingsOf(
  samples: readonly GpuSample[],
  serverPids: ReadonlySet<number>,
): Promise<Map<number, GpuHoldings>> {
  const holdings = await Promise.all(samples.map((sample) => holdingsOfOne(sample, serverPids)));
  return new Map(holdings.flatMap((each) => (each ? [each] : [])));
}

async function holdingsOfOne(
  { id, memoryTotalMiB: totalMiB, memoryUsedMiB: usedMiB, processes }: GpuSample,
  serverPids: ReadonlySet<number>,
): Promise<[number, GpuHoldings] | undefined> {
  if (totalMiB === null || usedMiB === null) return undefined;
  const owned = await Promise.all(
    processes.map(async (process) => ({ process, server: await nearestAncestor(process.pid, serverPids) })),
  );
  const heldByServer = new Map<number, number | null>();
  for (const { process, server } of owned) {
    if (server === undefined) continue;
    const before = heldByServer.get(server);
    const isKnown = before !== null && process.memoryMiB !== null;
    heldByServer.set(server, isKnown ? (before ?? 0) + process.memoryMiB : null);
  }
  const foreign = owned.filter(({ server }) => server === undefined).map(({ process }) => process);
  return [id, { totalMiB, usedMiB, heldByServer, foreign }];
}
