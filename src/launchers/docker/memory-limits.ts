/** How long, ms, a failure may have come of an "out of memory" before it. */
const RELATED_MS = 600_000;
/** Containers that are remembered. */
const REMEMBERED = 1000;
const UNITS = ['KiB', 'MiB', 'GiB', 'TiB'];

/**
 * Which of our containers have hit their memory limit. The kernel ends a process of theirs then, which need not be the main
 * one: a container goes on without a worker that its requests need.
 */
export class MemoryLimits {
  /** Bytes, by id of the container. */
  private readonly limits = new Map<string, number>();
  /** Monotonic ms, the same. */
  private readonly hits = new Map<string, number>();

  /** @param limitBytes 0: it has none */
  saw(id: string, limitBytes: number): void {
    if (!this.limits.has(id)) forgetOldest(this.limits);
    this.limits.set(id, limitBytes);
  }

  hit(id: string): void {
    if (!this.hits.has(id)) forgetOldest(this.hits);
    this.hits.set(id, performance.now());
  }

  /** In words, where the container has hit its limit in the last ten minutes. */
  wordsOf(id: string): string | undefined {
    const at = this.hits.get(id);
    if (at === undefined || performance.now() - at > RELATED_MS) return undefined;
    return outOfMemory(this.limits.get(id) ?? 0);
  }
}

/** @param limitBytes 0: it has none, and the host had no memory left, or a control group above it */
export function outOfMemory(limitBytes: number): string {
  return limitBytes > 0 ? `out of memory: memory_limit is ${inUnits(limitBytes)}` : 'out of memory';
}

function inUnits(bytes: number): string {
  const power = Math.max(1, Math.min(UNITS.length, Math.floor(Math.log2(bytes) / 10)));
  return `${Number((bytes / 2 ** (10 * power)).toFixed(1))} ${UNITS[power - 1] ?? ''}`;
}

function forgetOldest(map: Map<string, number>): void {
  const [oldest] = map.keys();
  if (map.size >= REMEMBERED && oldest !== undefined) map.delete(oldest);
}
