import { z } from 'zod';
import type { DeploymentOptions, GpuPolicy } from '../runner.js';
import type { TritonConfig } from './triton-section.js';

/** `StartRequest.config` for Triton models. */
export const tritonOptionsSchema = z.strictObject({
  instances_per_gpu: z
    .int()
    .min(1)
    .max(256)
    .meta({ description: 'Execution instances on each GPU of the model. 每个GPU的实例数', example: 8 }),
});

export type TritonOptions = z.infer<typeof tritonOptionsSchema>;

interface CompleteGpuConfig {
  readonly instances_per_gpu: number;
  readonly use_dedicated_server: boolean;
  readonly drain_seconds: number;
  /** `null`: the configuration does not say. */
  readonly gpu_memory_mb: number | null;
  readonly gpu_policy: GpuPolicy;
  readonly liveness: TritonConfig['model_gpu_configs'][string]['liveness'];
}

/** A model's entry in `model_gpu_configs`, over the entry `default`. */
export function modelGpuConfig(config: TritonConfig, model: string): CompleteGpuConfig {
  const defaults = config.model_gpu_configs.default;
  const own = config.model_gpu_configs[model];
  return {
    instances_per_gpu: own?.instances_per_gpu ?? defaults?.instances_per_gpu ?? 1,
    use_dedicated_server: own?.use_dedicated_server ?? defaults?.use_dedicated_server ?? false,
    drain_seconds: own?.drain_seconds ?? defaults?.drain_seconds ?? 0,
    gpu_memory_mb: own?.gpu_memory_mb ?? defaults?.gpu_memory_mb ?? null,
    gpu_policy: own?.gpu_policy ?? defaults?.gpu_policy ?? 'shared',
    liveness: own?.liveness ?? defaults?.liveness,
  };
}

/** Options reach a runner only through its own schema. */
export function optionsOf(options: DeploymentOptions): TritonOptions {
  return tritonOptionsSchema.parse(options);
}
