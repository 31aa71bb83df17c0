import { z } from 'zod';
import { portOverlaps } from './port-overlaps.js';
import { whenValid } from './sections/common.js';
import { comfyuiSection } from '../runners/comfyui/comfyui-section.js';
import { httpSection } from '../runners/http/http-section.js';
import {
  gpusSection,
  healthSection,
  instanceName,
  launchersSection,
  livenessSection,
  logSection,
  orphansSection,
  processesSection,
  restartSection,
  serverSection,
  shutdownSection,
  stateSection,
} from './sections/service.js';
import { tritonSection } from '../runners/triton/triton-section.js';
import { vllmSection } from '../runners/vllm/vllm-section.js';

/** The models of a backend are the keys of `models`, where it has that, or listed. */
const catalog = z.union([
  z
    .object({ models: z.record(z.string(), z.unknown()) })
    .transform(({ models }) => Object.keys(models).map((model) => ({ model, path: ['models', model] }))),
  z
    .object({ supported_models: z.array(z.string()) })
    .transform(({ supported_models: models }) =>
      models.map((model, index) => ({ model, path: ['supported_models', index] })),
    ),
]);

type CatalogEntries = z.infer<typeof catalog>;

function modelsOf(section: unknown): CatalogEntries {
  return catalog.safeParse(section).data ?? [];
}

const backends = z.object({ runners: z.record(z.string(), z.unknown()) });

/** The whole configuration, valid or refused as one. Keys are those of the YAML files. */
export const configSchema = z
  .strictObject({
    instance_name: instanceName,
    server: serverSection,
    log: logSection,
    state: stateSection,
    gpus: gpusSection,
    processes: processesSection,
    health: healthSection,
    liveness: livenessSection,
    restart: restartSection,
    shutdown: shutdownSection,
    orphans: orphansSection,
    launchers: launchersSection,
    runners: z.strictObject({
      triton: tritonSection,
      comfyui: comfyuiSection,
      http: httpSection,
      vllm: vllmSection,
    }),
  })
  .superRefine((config, context) => {
    const owner = new Map<string, string>();
    for (const [backend, section] of Object.entries(config.runners)) {
      for (const { model, path } of modelsOf(section)) {
        const other = owner.get(model);
        if (other !== undefined) {
          context.addIssue({
            code: 'custom',
            path: ['runners', backend, ...path],
            message: `${model} already belongs to ${other}: a model has exactly one backend`,
          });
        }
        owner.set(model, backend);
      }
    }
  }, whenValid(backends))
  .superRefine(({ runners }, context) => {
    for (const { path, message } of portOverlaps(runners, (section) => modelsOf(section).length > 0)) {
      context.addIssue({ code: 'custom', path, message });
    }
  }, whenValid(backends));

export type Config = z.infer<typeof configSchema>;
