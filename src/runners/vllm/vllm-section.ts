import * as z from 'zod';
import {
  drainSeconds,
  gpuMemoryMb,
  gpuPolicy,
  hostPath,
  modelLiveness,
  safeName,
  whenValid,
} from '../../config/sections/common.js';
import { placementServerKeys } from '../placement-server/placement-server-section.js';
import { variableFaults } from '../decided.js';
import { flagFaults, VLLM_DECIDED_VARIABLES, vllmCommandFaults } from './vllm-flags.js';

/** One argument that a program cannot take for a flag. */
const word = z
  .string()
  .max(1024)
  .regex(/^[^-\p{Cc}][^\p{Cc}]*$/u, 'text on one line that does not begin with "-"');

export const vllmOptionKeys = {
  max_model_len: z
    .int()
    .min(1)
    .max(100_000_000)
    .describe('Longest context, tokens; null: as the model says.'),
  gpu_memory_utilization: z
    .number()
    .gt(0)
    .max(1)
    .describe("Share of each GPU's total memory that the server takes; null: vLLM's own default."),
  dtype: z
    .enum(['auto', 'half', 'float16', 'bfloat16', 'float', 'float32'])
    .describe('Type of weights and activations.'),
};

const vllmModel = z.strictObject({
  model: word.describe('Path of the model as the server sees it, or its id on the hub.'),
  served_model_name: word
    .optional()
    .describe("The model's name in the OpenAI API; left out, its name in this service."),
  max_model_len: vllmOptionKeys.max_model_len.optional(),
  gpu_memory_utilization: vllmOptionKeys.gpu_memory_utilization.optional(),
  dtype: vllmOptionKeys.dtype.optional(),
  extra_args: z
    .array(z.string().regex(/^[^\0]+$/, 'text without NUL'))
    .default([])
    .describe('Further flags of vllm serve, of those that are allowed.'),
  drain_seconds: drainSeconds.describe('Time requests get before a stop that does not say itself.'),
  gpu_memory_mb: gpuMemoryMb.describe('Memory one placement takes on each GPU, MiB.'),
  sleep_mode: z
    .boolean()
    .default(false)
    .describe("The model can sleep and wake; opens vLLM's development endpoints on its port."),
  gpu_policy: gpuPolicy.optional().describe('exclusive: the model has its GPUs to itself.'),
  liveness: modelLiveness.describe('How long the requests of the model may take.'),
});

export type VllmModel = z.infer<typeof vllmModel>;

const commandAndEnv = z.object({ command: z.array(z.string()), env: z.record(z.string(), z.unknown()) });

/** What of models the rules below are about: they are applied whatever else is wrong. */
const withModels = z.object({
  device: z.unknown(),
  models: z.record(
    z.string(),
    z
      .object({ extra_args: z.array(z.string()), sleep_mode: z.unknown() })
      .catch({ extra_args: [], sleep_mode: false }),
  ),
});

const cachePath = hostPath.nullable();

export const vllmSection = z
  .strictObject(placementServerKeys)
  .omit({ supported_models: true, image_name: true })
  .extend({
    image_name: z.string().min(1).describe('Image of the containers (docker).'),
    command: z
      .array(z.string().regex(/^[^\0]+$/, 'text without NUL'))
      .min(1)
      .describe('The program and its first arguments; "serve" and what follows are appended.'),
    hf_cache_host_path: cachePath.describe(
      "Directory of the host for models of the hub, mounted at /root/.cache/huggingface (docker); null for the container's own.",
    ),
    vllm_cache_host_path: cachePath.describe(
      "Directory of the host for what vLLM compiles, mounted at /root/.cache/vllm (docker); null for the container's own.",
    ),
    sleep_timeout_seconds: z
      .number()
      .min(0.1)
      .max(3600)
      .default(300)
      .describe('Longest time a sleep or a wake takes, requests that it waits for included.'),
    canary: z
      .boolean()
      .default(true)
      .describe(
        'A server that nobody asks is asked for one token, at the most twice in liveness.progress_seconds.',
      ),
    models: z.record(safeName, vllmModel).describe('The models of this backend, and how each is served.'),
  })
  .superRefine(({ command, env }, context) => {
    for (const { key, message } of vllmCommandFaults(command)) {
      context.addIssue({ code: 'custom', path: ['command', key], message });
    }
    for (const { key, message } of variableFaults(env, VLLM_DECIDED_VARIABLES)) {
      context.addIssue({ code: 'custom', path: ['env', key], message });
    }
  }, whenValid(commandAndEnv))
  .superRefine((section, context) => {
    const { models, device } = withModels.parse(section);
    for (const [name, { extra_args: args, sleep_mode: sleeps }] of Object.entries(models)) {
      if (sleeps === true && device === 'cpu') {
        const message = 'vLLM sleeps on GPUs alone, and device is cpu';
        context.addIssue({ code: 'custom', path: ['models', name, 'sleep_mode'], message });
      }
      for (const { index, message } of flagFaults(args)) {
        context.addIssue({ code: 'custom', path: ['models', name, 'extra_args', index], message });
      }
    }
  }, whenValid(withModels))
  .transform((section) => ({
    ...section,
    supported_models: Object.keys(section.models),
    mounts: [
      ...section.mounts,
      ...cacheMount(section.hf_cache_host_path, '/root/.cache/huggingface'),
      ...cacheMount(section.vllm_cache_host_path, '/root/.cache/vllm'),
    ],
  }));

export type VllmConfig = z.infer<typeof vllmSection>;

function cacheMount(
  path: string | null,
  serverPath: string,
): { host_path: string; server_path: string; read_only: boolean }[] {
  return path === null ? [] : [{ host_path: path, server_path: serverPath, read_only: false }];
}
