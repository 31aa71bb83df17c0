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
import { COMFYUI_DECIDED_VARIABLES, flagFaults, VRAM_FLAGS } from './comfyui-flags.js';

const args = z
  .array(
    z
      .string()
      .min(1)
      .regex(/^[^\0]*$/, 'text without NUL'),
  )
  .superRefine((list, context) => {
    // Which others there are, and what each takes, is for the installation to say, at a start.
    for (const { index, message } of flagFaults(list, 'any')) {
      context.addIssue({ code: 'custom', path: [index], message });
    }
  })
  .describe('Further flags of ComfyUI, as the installed one has them, one list item each.');

const modelConfig = z.strictObject({
  workflow_dir: hostPath.optional().describe('Directory with the workflows of the model.'),
  base_dir: hostPath
    .optional()
    .describe(
      "ComfyUI's base directory: models, custom nodes, input, output, user; comfyui_path, unless said.",
    ),
  output_dir: hostPath.optional().describe('Where images go; output in the base directory, unless said.'),
  input_dir: hostPath.optional().describe('Where inputs are read; input in the base directory, unless said.'),
  extra_model_paths: hostPath
    .optional()
    .describe('An extra_model_paths.yaml: further directories with weights.'),
  args: args.optional(),
  drain_seconds: drainSeconds.describe(
    'Time prompts get to be worked off before a stop; a request for a stop can say other.',
  ),
  gpu_memory_mb: gpuMemoryMb.describe(
    'Memory one placement takes on its GPU, MiB; a start that does not fit is refused.',
  ),
  gpu_policy: gpuPolicy.optional().describe('exclusive: the model has its GPU to itself.'),
  liveness: modelLiveness.describe('How long the prompts of the model may take.'),
});

const deviceAndArgs = z.object({
  device: z.string(),
  model_configs: z.record(z.string(), z.object({ args: z.array(z.string()).optional() })),
});

export const comfyuiSection = z
  .strictObject({
    ...placementServerKeys,
    comfyui_path: hostPath
      .nullable()
      .describe(
        'Directory of ComfyUI, the one with main.py: on the host (process), or in the image (docker).',
      ),
    python: z
      .string()
      .min(1)
      .describe("The Python that runs it: of ComfyUI's venv (process), or in the image."),
    model_configs: z.record(safeName, modelConfig).describe('Per model: directories, flags, drain, memory.'),
  })
  .superRefine(
    ({ env }, context) => {
      for (const { key, message } of variableFaults(env, COMFYUI_DECIDED_VARIABLES)) {
        context.addIssue({ code: 'custom', path: ['env', key], message });
      }
    },
    whenValid(z.object({ env: z.record(z.string(), z.unknown()) })),
  )
  .superRefine(({ device, model_configs: models }, context) => {
    if (device !== 'cpu') return;
    for (const [model, { args: list = [] }] of Object.entries(models)) {
      const flag = list.find((each) => VRAM_FLAGS.includes(each));
      if (flag === undefined) continue;
      const message = `${flag} does not go together with device: cpu`;
      context.addIssue({ code: 'custom', path: ['model_configs', model, 'args'], message });
    }
  }, whenValid(deviceAndArgs));

export type ComfyuiConfig = z.infer<typeof comfyuiSection>;
export type ComfyuiModelConfig = z.infer<typeof modelConfig>;
