import * as z from 'zod';
import { type VllmModel, vllmOptionKeys } from './vllm-section.js';

const MAX_GPUS = 64;

/** `StartRequest.config` of a model that vLLM serves. */
export const vllmOptions = z.strictObject({
  max_model_len: vllmOptionKeys.max_model_len.nullable(),
  gpu_memory_utilization: vllmOptionKeys.gpu_memory_utilization.nullable(),
  dtype: vllmOptionKeys.dtype,
  gpu_ids: z
    .array(z.int().min(0).max(9999))
    .min(1)
    .max(MAX_GPUS)
    .refine((ids) => new Set(ids).size === ids.length, 'must not name a GPU twice')
    .transform((ids) => ids.toSorted((a, b) => a - b))
    .nullable()
    .describe('NVML indices; the GPU of the start is one of them; null: that one alone.'),
});

// A type, not an interface: options are a record.
export type VllmOptions = z.infer<typeof vllmOptions>;

/** What a start does not say is as the model's entry has it. */
export function defaultVllmOptions(model: VllmModel | undefined): VllmOptions {
  return {
    max_model_len: model?.max_model_len ?? null,
    gpu_memory_utilization: model?.gpu_memory_utilization ?? null,
    dtype: model?.dtype ?? 'auto',
    gpu_ids: null,
  };
}
