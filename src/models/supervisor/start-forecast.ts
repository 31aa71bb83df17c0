import type { DomainError } from '../../common/errors.js';
import type { Assessment } from '../room/assessment.js';
import type { MemoryNeed } from '../room/estimates.js';

/** What a start would come to, by what is known now. */
export interface StartForecast {
  readonly modelName: string;
  readonly backend: string;
  readonly gpuId: number;
  /** All that it would hold. */
  readonly gpuIds: readonly number[];
  /** `nothing`: it runs or starts there already. */
  readonly would: 'start' | 'nothing' | 'refuse';
  /** What a start would be refused with. */
  readonly refusal: DomainError | undefined;
  readonly need: MemoryNeed;
  /** GPU → whether the model has room there, as far as memory and policies go. */
  readonly gpus: ReadonlyMap<number, Assessment>;
}
