import * as z from 'zod';
import type { DeploymentOptions, GpuPolicy } from '../deployment.js';
import type { InstanceKind, TritonConfig } from './triton-section.js';

/** `StartRequest.config` for Triton models. */
export const tritonOptionsSchema = z.strictObject({
  instances_per_gpu: z
    .int()
    .min(1)
    .max(256)
    .meta({ description: 'Execution instances on each GPU of the model. 每个GPU的实例数', example: 8 }),
});

/** Of a model whose instances Triton chooses: how many is not for this service to say. */
export const autoOptionsSchema = z.strictObject({
  instances_per_gpu: z.literal(1, 'kind: auto leaves the instances to Triton, leave this option out'),
});

export type TritonOptions = z.infer<typeof tritonOptionsSchema>;

interface CompleteGpuConfig {
  readonly instances_per_gpu: number;
  readonly kind: InstanceKind;
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
  const kind = own?.kind ?? defaults?.kind ?? 'gpu';
  return {
    instances_per_gpu: kind === 'auto' ? 1 : (own?.instances_per_gpu ?? defaults?.instances_per_gpu ?? 1),
    kind,
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
