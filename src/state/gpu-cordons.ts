import * as z from 'zod';

/** A GPU on which nothing is started. */
const cordonSchema = z.object({
  /** `null`: it does not tell, and is known by its index until it does. */
  gpu_uuid: z.string().nullable(),
  /** NVML index, as last seen. */
  gpu_id: z.int().min(0),
  reason: z.string(),
  by: z.enum(['operator', 'service']),
  since: z.iso.datetime(),
  /** What the service has found of an operator's GPU: nothing stays on it. Of its own cordon, that is the reason. */
  found: z.string().optional(),
  /** It ends by itself once the reading that led to it has passed; left out: an operator ends it. */
  passes: z.literal(true).optional(),
});

export type GpuCordon = z.infer<typeof cordonSchema>;

/** What an operator knew of a GPU's faults when the cordon was ended: they count again when there are more. */
const acknowledgedSchema = z.object({
  gpu_uuid: z.string(),
  /** Kind of fault → how many there were. */
  faults: z.record(z.string(), z.number()),
});

export type AcknowledgedFaults = z.infer<typeof acknowledgedSchema>;

/** The file of the cordons. `version` grows with every change that an older service could not read. */
export const gpuCordonsSchema = z.object({
  version: z.literal(1),
  cordons: z.array(cordonSchema),
  acknowledged: z.array(acknowledgedSchema),
});

export interface GpuCordonsRecord {
  readonly cordons: readonly GpuCordon[];
  readonly acknowledged: readonly AcknowledgedFaults[];
}
