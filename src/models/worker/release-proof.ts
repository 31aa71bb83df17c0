import { DeadlineError, orAborted, pollUntil, within } from '../../common/deadline.js';
import { processIdentity } from '../../host/process-identity.js';
import type { GpuProcess, GpuSample } from '../../gpus/gpu-provider.js';
import { belongsToServer } from '../../host/process-parent.js';
import type { PlacementObservation } from '../../runners/observation.js';
import type { Runner } from '../../runners/runner.js';
import { GpuMemoryHeldError } from '../deployment/errors.js';
import type { HeldGpu } from '../deployment/held-gpus.js';
import type { Placement } from '../deployment/placement.js';
import type { ReleasedMemory } from '../deployment/stop-outcome.js';
import type { UnitState } from '../deployment/deployment-state.js';
import type { WorkerServices } from './worker-services.js';

const POLL_MS = 100;

interface Witness extends GpuProcess {
  /** Of the process by which it was seen; `undefined` where the system does not show it. */
  readonly startTime: string | undefined;
}

/** A placement on one of its GPUs. */
interface PlacementOnGpu {
  readonly gpu: HeldGpu;
  readonly placement: Placement;
}

/** The processes of a placement's server that hold memory of one of its GPUs, as they were before the stop. */
interface Evidence {
  readonly serverPid: number | null;
  readonly witnesses: readonly Witness[];
  /** What the stop did to it, once that is known. */
  outcome: ReleasedMemory | null;
}

/**
 * That a stop has brought the memory of its GPUs back: notes who holds it before, and looks until they do no more.
 * What it noted outlives a stop that failed, since who holds the memory cannot be told from a server that is gone.
 * GPUs that cannot be read prove nothing, and are no failure.
 */
export class ReleaseProof {
  /** By placement and `keyOf` its GPU. */
  private readonly evidence = new WeakMap<Placement, Map<string, Evidence>>();

  constructor(
    private readonly unit: UnitState,
    private readonly runner: Runner,
    private readonly services: Pick<WorkerServices, 'gpus' | 'logger' | 'config'>,
  ) {}

  /** Notes which processes of the servers hold memory of their GPUs. @throws the signal's reason */
  async before(placements: readonly Placement[], signal: AbortSignal): Promise<void> {
    const samples = await this.read(signal);
    for (const placement of placements) {
      const noted = this.evidence.get(placement) ?? new Map<string, Evidence>();
      this.evidence.set(placement, noted);
      for (const gpu of placement.gpus) {
        const sample = readable(samples, gpu);
        if (!sample) continue;
        const serverPid = await this.serverPid(placement, sample, signal);
        const earlier = noted.get(keyOf(gpu));
        const seen = serverPid === null ? [] : await witnessesOf(sample, serverPid);
        const missed = earlier?.witnesses.filter(({ pid }) => !seen.some((each) => each.pid === pid)) ?? [];
        noted.set(keyOf(gpu), {
          serverPid: serverPid ?? earlier?.serverPid ?? null,
          witnesses: [...missed, ...seen],
          outcome: null,
        });
      }
    }
  }

  /**
   * Resolves when the memory is back, or belongs to a server that goes on, or nobody can tell; the placements know then.
   * @throws GpuMemoryHeldError at `gpus.release_timeout_seconds`, the signal's reason
   */
  async after(placements: readonly Placement[], signal: AbortSignal): Promise<void> {
    const held = new Map<PlacementOnGpu, readonly GpuProcess[]>();
    const pending = new Set(
      placements.flatMap((placement) =>
        placement.gpus
          .filter((gpu) => this.notedOf(placement).has(keyOf(gpu)))
          .map((gpu): PlacementOnGpu => ({ gpu, placement })),
      ),
    );
    const look = async (limit: AbortSignal): Promise<true | undefined> => {
      if (pending.size === 0) return true;
      const samples = await this.read(limit);
      for (const each of pending) {
        const sample = readable(samples, each.gpu);
        const holders = sample && (await this.holders(each, sample, limit));
        held.delete(each);
        if (holders?.length === 0) pending.delete(each);
        else if (holders) held.set(each, holders);
      }
      return pending.size === 0 || undefined;
    };
    const ms = this.services.config.gpus.release_timeout_seconds * 1000;
    try {
      await within({ ms, signal }, (limit) =>
        pollUntil(() => look(limit), { intervalMs: POLL_MS, signal: limit }),
      );
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof DeadlineError)) throw error;
    }
    if (held.size > 0) throw this.heldError(held);
    for (const placement of placements) {
      placement.gaveBack(total(placement, this.notedOf(placement)));
      this.evidence.delete(placement);
    }
  }

  private notedOf(placement: Placement): ReadonlyMap<string, Evidence> {
    return this.evidence.get(placement) ?? new Map<string, Evidence>();
  }

  /** Who of the noted still holds memory, unless their server goes on. */
  private async holders(
    { gpu, placement }: PlacementOnGpu,
    sample: GpuSample,
    signal: AbortSignal,
  ): Promise<readonly GpuProcess[]> {
    const evidence = this.notedOf(placement).get(keyOf(gpu));
    if (!evidence) return [];
    const { serverPid, witnesses } = evidence;
    const present = await presentOf(witnesses, sample);
    const goesOn = present.length > 0 && (await this.askServerPid(placement, signal)) === serverPid;
    if (serverPid !== null && (present.length === 0 || goesOn)) {
      evidence.outcome = compared(witnesses, present);
    }
    return goesOn ? [] : present;
  }

  private async serverPid(
    placement: Placement,
    sample: GpuSample,
    signal: AbortSignal,
  ): Promise<number | null> {
    if (placement.pid !== null) return placement.pid;
    return sample.processes.length > 0 ? this.askServerPid(placement, signal) : null;
  }

  /** Main process of the server as the backend has it now; `null`: there is none, or nobody can tell. */
  private async askServerPid({ gpuId, gpus }: Placement, signal: AbortSignal): Promise<number | null> {
    const { modelName, deployment } = this.unit;
    let observations: readonly PlacementObservation[];
    try {
      observations = await within({ ms: this.services.config.health.probe_timeout_ms, signal }, (limit) =>
        this.runner.getStatus(
          { modelName, options: deployment.options, gpuIds: [gpuId], gpus: new Map([[gpuId, gpus]]) },
          limit,
        ),
      );
    } catch {
      signal.throwIfAborted();
      return null; // a backend that does not answer says nothing about its server
    }
    return observations.find((each) => each.gpuId === gpuId)?.pid ?? null;
  }

  /** `undefined` when the GPUs cannot be read. */
  private async read(signal: AbortSignal): Promise<readonly GpuSample[] | undefined> {
    try {
      return await orAborted(this.services.gpus.readAnew(), signal);
    } catch (error) {
      signal.throwIfAborted();
      this.services.logger.debug({ err: error }, 'What a stop does to GPU memory is unknown');
      return undefined;
    }
  }

  private heldError(held: ReadonlyMap<PlacementOnGpu, readonly GpuProcess[]>): GpuMemoryHeldError {
    const words = [...held].map(([{ gpu }, processes]) => {
      const each = processes.map(({ pid, memoryMiB }) => `process ${pid} (${memoryMiB ?? 'unknown'} MiB)`);
      return `GPU ${gpu.id}: ${each.join(', ')}`;
    });
    const seconds = this.services.config.gpus.release_timeout_seconds;
    return new GpuMemoryHeldError(
      `The server of ${this.unit.modelName} let go, yet its memory is still held ${seconds} s later on ${words.join('; ')}. It is looked at again: end those processes, or reset the GPU where they are gone.`,
      { held: Object.fromEntries([...held].map(([{ gpu }, processes]) => [gpu.id, processes])) },
    );
  }
}

/** A GPU is told by its UUID: whoever has its index by now is another. */
function readable(samples: readonly GpuSample[] | undefined, gpu: HeldGpu): GpuSample | undefined {
  const found = samples?.find(({ id, uuid }) => (gpu.uuid === null ? id === gpu.id : uuid === gpu.uuid));
  return found?.error === undefined ? found : undefined;
}

function keyOf({ id, uuid }: HeldGpu): string {
  return uuid ?? String(id);
}

async function witnessesOf(sample: GpuSample, serverPid: number): Promise<Witness[]> {
  const found: Witness[] = [];
  for (const process of sample.processes) {
    if (!(await belongsToServer(process.pid, serverPid))) continue;
    found.push({ ...process, startTime: (await processIdentity(process.pid))?.startTime });
  }
  return found;
}

/** A pid that somebody else has by now is not the witness; one that nobody has may well hold memory in the driver. */
async function presentOf(witnesses: readonly Witness[], sample: GpuSample): Promise<GpuProcess[]> {
  const present: GpuProcess[] = [];
  for (const witness of witnesses) {
    const process = sample.processes.find(({ pid }) => pid === witness.pid);
    if (!process || process.memoryMiB === 0) continue;
    const now = (await processIdentity(witness.pid))?.startTime;
    if (now === undefined || witness.startTime === undefined || now === witness.startTime)
      present.push(process);
  }
  return present;
}

/** `null` where the driver does not tell how much somebody holds. */
function compared(before: readonly GpuProcess[], after: readonly GpuProcess[]): ReleasedMemory | null {
  const [held, holds] = [sum(before), sum(after)];
  if (held === null || holds === null) return null;
  const heldMiB = Math.min(held, holds);
  return { heldMiB, releasedMiB: held - heldMiB };
}

/** On all GPUs of the placement; `null` where one of them is unknown. */
function total(placement: Placement, noted: ReadonlyMap<string, Evidence>): ReleasedMemory | null {
  return placement.gpus
    .map((gpu) => noted.get(keyOf(gpu))?.outcome ?? null)
    .reduce((sum, each) =>
      sum && each
        ? { releasedMiB: sum.releasedMiB + each.releasedMiB, heldMiB: sum.heldMiB + each.heldMiB }
        : null,
    );
}

function sum(processes: readonly GpuProcess[]): number | null {
  return processes.reduce<number | null>(
    (total, { memoryMiB }) => (total === null || memoryMiB === null ? null : total + memoryMiB),
    0,
  );
}
