import { Injectable } from '@nestjs/common';
import type { GpuHealthInfo } from '../gpus.dto.js';
import { GpuCordons, type NamedGpu } from './gpu-cordons.js';

const WELL: GpuHealthInfo = { status: 'ok', reason: null, since: null, by: null };

/** What is known of the health of the GPUs. */
@Injectable()
export class GpuHealth {
  constructor(private readonly cordons: GpuCordons) {}

  /** As the API shows it. Never waits. */
  of(gpu: NamedGpu): GpuHealthInfo {
    const cordon = this.cordons.of(gpu);
    if (!cordon) return WELL;
    const { reason, since, by } = cordon;
    return { status: 'cordoned', reason, since, by };
  }

  /** By an operator. @throws StateWriteError, and nothing has changed */
  uncordon(gpu: NamedGpu): Promise<void> {
    return this.cordons.uncordon(gpu);
  }
}
