import * as z from 'zod';

/** Why a placement is in ERROR: a stable code, the cause in words, and the server's last log lines where they tell it. */
export const placementErrorSchema = z.object({
  code: z.string(),
  message: z.string(),
  log: z.array(z.string()).optional(),
  /** When it came up; left out by earlier versions. */
  at: z.iso.datetime().optional(),
});

export type PlacementError = z.infer<typeof placementErrorSchema>;

/** How a placement that served was lost, with the last lines of its server where there were any. */
const crashSchema = z.object({ at: z.iso.datetime(), message: z.string(), log: z.array(z.string()) });

export type Crash = z.infer<typeof crashSchema>;

/** What has become of a placement, as far as this service knew; nothing is done by it. */
const placementHistorySchema = z.object({
  status: z.enum(['STARTING', 'RUNNING', 'STOPPED', 'ERROR']),
  since: z.iso.datetime(),
  restarts: z.int().min(0),
  last_crash: crashSchema.optional(),
});

export type PlacementHistoryRecord = z.infer<typeof placementHistorySchema>;

/**
 * What was accepted of one placement.
 * - `serve`: it is to serve.
 * - `release`: its stop was accepted and is not complete.
 * - `failed`: it was to serve and could not; `error` says why. Kept until it is stopped or started again.
 */
const desiredPlacementSchema = z.object({
  /** Its number: the NVML index that its GPU had at the start. Its server is named by it. */
  gpu_id: z.int().min(0),
  /** All that it holds, as last seen; left out: that one alone. */
  gpu_ids: z.array(z.int().min(0)).min(2).optional(),
  /** The same with their UUIDs, where these were known; left out by earlier versions. What counts is the UUID. */
  gpus: z
    .array(z.object({ gpu_id: z.int().min(0), gpu_uuid: z.string().nullable() }))
    .min(1)
    .optional(),
  wanted: z.enum(['serve', 'release', 'failed']),
  error: placementErrorSchema.optional(),
  /** Left out: nothing has become of it yet. */
  history: placementHistorySchema.optional(),
});

/** What the configuration said of the model when it was started, for when it says nothing any more. */
const keptSettingsSchema = z.object({
  gpu_memory_mb: z.int().min(1).nullable(),
  gpu_policy: z.enum(['shared', 'exclusive']),
  /** Left out by earlier versions. */
  off_gpu: z.boolean().default(false),
  drain_seconds: z.number().min(0),
});

export type KeptSettings = z.infer<typeof keptSettingsSchema>;

const desiredDeploymentSchema = z.object({
  model_name: z.string().min(1),
  model_type: z.string().min(1),
  options: z.record(z.string(), z.unknown()),
  placements: z.array(desiredPlacementSchema),
  /** Left out: nothing that matters. */
  settings: keptSettingsSchema.optional(),
  created_at: z.iso.datetime(),
  updated_at: z.iso.datetime(),
});

/** An earlier state was set aside: what runs is taken up from the backends. `done`: those of which all is. */
const adoptionSchema = z.object({ done: z.array(z.string()) });

export type AdoptionProgress = z.infer<typeof adoptionSchema>;

/** Grows with every change of the state file that an older service could not read. */
export const STATE_VERSION = 1;

/** The state file. */
export const desiredStateSchema = z.object({
  version: z.literal(STATE_VERSION),
  /** Left out: nothing is to be taken up. */
  adoption: adoptionSchema.optional(),
  deployments: z.array(desiredDeploymentSchema),
});

export type DesiredPlacement = z.infer<typeof desiredPlacementSchema>;
export type DesiredDeployment = z.infer<typeof desiredDeploymentSchema>;
