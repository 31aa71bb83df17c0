import { DomainError } from '../../common/errors.js';
import type { GpuPolicy } from '../../runners/deployment.js';
import { balanceOf, type MemoryBalance } from './arithmetic.js';
import type { MemoryNeed } from '../../runners/memory-need.js';
import type { ForeignProcess, GpuHoldings, Occupant } from './occupant.js';

/** The model needs more memory than is left on the GPU. */
export class GpuMemoryShortError extends DomainError {
  readonly code = 'GPU_MEMORY_SHORT';
  readonly kind = 'conflict';
}

/** The GPU, the model, or one that is there already, shares with nobody. */
export class GpuExclusiveError extends DomainError {
  readonly code = 'GPU_EXCLUSIVE';
  readonly kind = 'conflict';
}

/** A model that wants onto a GPU. */
export interface RoomRequest {
  readonly modelName: string;
  readonly gpuId: number;
  readonly need: MemoryNeed;
  readonly policy: GpuPolicy;
  /** It wants nothing of the GPU. */
  readonly offGpu?: boolean;
}

export interface GpuSituation {
  /** Why nothing is started on it, whoever is there. */
  readonly refused?: DomainError | undefined;
  readonly policy: GpuPolicy;
  /** `undefined`: it cannot be read. */
  readonly holdings: GpuHoldings | undefined;
  /** Placements on this GPU, those included that are about to be accepted. */
  readonly occupants: readonly Occupant[];
  /** Memory of every GPU of the host that was read, MiB, by id. */
  readonly totals: ReadonlyMap<number, number>;
}

/** Whether a model has room on a GPU, and why not. */
export interface Assessment {
  readonly refusal: DomainError | undefined;
  /** MiB left for it; `null` where that cannot be read. */
  readonly leftMiB: number | null;
  /** Who has to go first; empty where it has room. */
  readonly placements: readonly Occupant[];
  readonly processes: readonly ForeignProcess[];
}

/** A cordon or the backend's word first, then what fits nowhere on it, then the policy, then memory. What cannot be read or is not known refuses nobody. */
export function assess(request: RoomRequest, situation: GpuSituation): Assessment {
  const { holdings } = situation;
  const needMiB = request.need.memoryMiB;
  const balance = holdings && balanceOf(holdings, situation.occupants, request.modelName, needMiB ?? 0);
  const leftMiB = balance ? Math.round(balance.leftMiB) : null;
  if (request.offGpu) return { refusal: undefined, leftMiB, placements: [], processes: [] };
  if (situation.refused) return { refusal: situation.refused, leftMiB, placements: [], processes: [] };
  if (balance && needMiB !== null && needMiB > balance.totalMiB) {
    const refusal = tooBigError(request, needMiB, balance.totalMiB, situation.totals);
    return { refusal, leftMiB, placements: [], processes: [] };
  }
  const others = situation.occupants.filter((each) => each.modelName !== request.modelName);
  const foreign = holdings?.foreign ?? [];
  const exclusive = exclusiveError(request, situation.policy, others, foreign);
  if (exclusive)
    return {
      refusal: exclusive,
      leftMiB,
      placements: others,
      processes: situation.policy === 'exclusive' ? foreign : [],
    };
  if (balance && needMiB !== null && needMiB > balance.leftMiB) {
    const refusal = shortError(request, needMiB, balance, others, foreign);
    return { refusal, leftMiB, placements: others, processes: foreign };
  }
  return { refusal: undefined, leftMiB, placements: [], processes: [] };
}

function exclusiveError(
  { modelName, gpuId, policy }: RoomRequest,
  gpuPolicy: GpuPolicy,
  others: readonly Occupant[],
  foreign: readonly ForeignProcess[],
): DomainError | undefined {
  const holder = others.find((each) => each.policy === 'exclusive');
  const there = [
    ...others.map(placementWords),
    ...(gpuPolicy === 'exclusive' ? foreign.map(processWords) : []),
  ];
  if (there.length === 0) return undefined;
  const whose =
    gpuPolicy === 'exclusive'
      ? `GPU ${gpuId} is exclusive`
      : policy === 'exclusive'
        ? `${modelName} wants a GPU of its own`
        : holder && `${holder.modelName} has GPU ${gpuId} to itself`;
  if (!whose) return undefined;
  return new GpuExclusiveError(
    `${whose}, so that ${modelName} cannot start there. On it: ${there.join(', ')}. Stop these first, or choose another GPU.`,
    { modelName, gpuId },
  );
}

/** Whoever is there: it does not fit. */
function tooBigError(
  { modelName, gpuId, need }: RoomRequest,
  needMiB: number,
  totalMiB: number,
  totals: ReadonlyMap<number, number>,
): DomainError {
  const large = [...totals].filter(([, total]) => total >= needMiB);
  const others = large.map(([id, total]) => `GPU ${id} (${mib(total)})`).join(', ');
  const remedy =
    large.length > 0
      ? `By its size it fits on ${others}: choose one of these.`
      : 'It fits on no GPU of this host: have it take less (fewer instances, a shorter context, several GPUs), correct its need, or serve it elsewhere.';
  return new GpuMemoryShortError(
    `${modelName} needs ${mib(needMiB)} (${need.source}), and GPU ${gpuId} has ${mib(totalMiB)} in all: it does not fit there, whatever is stopped. ${remedy}`,
    { modelName, gpuId, needMiB, totalMiB },
  );
}

function shortError(
  { modelName, gpuId, need }: RoomRequest,
  needMiB: number,
  balance: MemoryBalance,
  others: readonly Occupant[],
  foreign: readonly ForeignProcess[],
): DomainError {
  const terms = [
    `${mib(balance.totalMiB)} in total`,
    `− ${mib(balance.usedMiB)} in use`,
    ...balance.reserved.map((each) => `− ${mib(each.mib)} reserved for ${each.modelNames.join(' and ')}`),
    ...(balance.returnedMiB > 0 ? [`+ ${mib(balance.returnedMiB)} it gives back first`] : []),
  ];
  const there = [...others.map(placementWords), ...foreign.map(processWords)].join(', ');
  const remedy = there
    ? `In the way: ${there}. Stop one of these, or choose another GPU.`
    : 'The driver names no process that holds the rest: see `nvidia-smi`, or choose another GPU.';
  const left = Math.max(0, balance.leftMiB);
  return new GpuMemoryShortError(
    `${modelName} needs ${mib(needMiB)} on GPU ${gpuId} (${need.source}), and ${mib(left)} are left: ${terms.join(' ')}. It is ${mib(needMiB - left)} short. ${remedy}`,
    { modelName, gpuId, needMiB, ...balance },
  );
}

function placementWords({ modelName, state, estimateMiB }: Occupant): string {
  return `${modelName} (${state}${estimateMiB === null ? '' : `, up to ${mib(estimateMiB)}`})`;
}

function processWords({ pid, name, memoryMiB }: ForeignProcess): string {
  return `process ${pid} ${name}${memoryMiB === null ? '' : ` (${mib(memoryMiB)})`}`;
}

function mib(value: number): string {
  return `${Math.round(value)} MiB`;
}
