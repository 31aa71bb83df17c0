import { z } from 'zod';
import type { DeploymentOptions } from '../../src/runners/deployment.js';
import { FakeRunner } from './fake-runner.js';

/** A backend whose options name the GPUs of a placement. */
export class NamingRunner extends FakeRunner {
  override optionsSchemaOf(): z.ZodType<DeploymentOptions> {
    const gpuIds = z.array(z.int()).transform((ids) => ids.toSorted());
    return this.optionsSchema.extend({ gpu_ids: gpuIds.nullable() });
  }
  override defaultOptions(): DeploymentOptions {
    return { instances: 2, gpu_ids: null };
  }
  override instancesPerGpu(): number {
    return 1;
  }
  override gpusOf(gpuId: number, options?: DeploymentOptions): readonly number[] {
    return [gpuId, ...((options?.gpu_ids ?? []) as number[]).filter((id) => id !== gpuId)];
  }
  override optionsOn(options: DeploymentOptions, gpuIds: readonly number[]): DeploymentOptions {
    return options.gpu_ids === null ? options : { ...options, gpu_ids: gpuIds.toSorted() };
  }
}
