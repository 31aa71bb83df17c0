import * as z from 'zod';

/** What a model has taken of a GPU's memory at most, under one set of options. */
const peakSchema = z.object({
  model_name: z.string().min(1),
  /** Canonical: see `canonicalJson`. */
  options: z.string(),
  peak_mb: z.int().min(1),
  /** When the peak last grew. */
  at: z.iso.datetime(),
});

/** The file of what was learned. `version` grows with every change that an older service could not read. */
export const gpuMemorySchema = z.object({ version: z.literal(1), peaks: z.array(peakSchema) });

export type GpuMemoryPeak = z.infer<typeof peakSchema>;
