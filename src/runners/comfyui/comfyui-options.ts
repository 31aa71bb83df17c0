import * as z from 'zod';
import { PREVIEW_METHODS, VRAM_FLAGS } from './comfyui-flags.js';

const VRAM = {
  'gpu-only': '--gpu-only',
  high: '--highvram',
  normal: '--normalvram',
  low: '--lowvram',
  none: '--novram',
};

/** `StartRequest.config` for ComfyUI models. */
export const comfyuiOptionsSchema = z.strictObject({
  vram: z
    .enum(['gpu-only', 'high', 'normal', 'low', 'none'])
    .optional()
    .describe('Where models are kept: from all on the GPU to as little as possible. 显存模式'),
  reserve_vram: z
    .number()
    .min(0)
    .max(1024)
    .optional()
    .describe('Memory of the GPU left to others, GB. 预留显存（GB）'),
  preview_method: z.enum(PREVIEW_METHODS).optional().describe('Previews while it samples. 预览方式'),
});

/** On the CPU there is nothing to choose: ComfyUI refuses the flag. */
export const comfyuiCpuOptionsSchema = comfyuiOptionsSchema.omit({ vram: true });

export type ComfyuiOptions = z.infer<typeof comfyuiOptionsSchema>;

/** The option that each flag of a start comes from. */
export function optionOf(flag: string): keyof ComfyuiOptions {
  if (flag === '--reserve-vram') return 'reserve_vram';
  return flag === '--preview-method' ? 'preview_method' : 'vram';
}

/** The flags of these options, and the flags of the configuration that they replace. */
export function optionFlags(options: ComfyuiOptions): { flags: string[]; replaced: readonly string[] } {
  const { vram, reserve_vram: reserve, preview_method: preview } = options;
  return {
    flags: [
      ...(vram === undefined ? [] : [VRAM[vram]]),
      ...(reserve === undefined ? [] : ['--reserve-vram', String(reserve)]),
      ...(preview === undefined ? [] : ['--preview-method', preview]),
    ],
    replaced: vram === undefined ? [] : VRAM_FLAGS,
  };
}
