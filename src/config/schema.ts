import { z } from 'zod';
import { whenValid } from './sections/common.js';
import { comfyuiSection } from './sections/comfyui.js';
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
import { tritonSection } from './sections/triton.js';

/** Just the models of each backend. */
const catalogs = z.object({
  runners: z.record(z.string(), z.object({ supported_models: z.array(z.string()) })),
});

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
    runners: z.strictObject({ triton: tritonSection, comfyui: comfyuiSection }),
  })
  .superRefine((config, context) => {
    const owner = new Map<string, string>();
    for (const [backend, section] of Object.entries(config.runners)) {
      section.supported_models.forEach((model, index) => {
        const other = owner.get(model);
        if (other !== undefined) {
          context.addIssue({
            code: 'custom',
            path: ['runners', backend, 'supported_models', index],
            message: `${model} already belongs to ${other}: a model has exactly one backend`,
          });
        }
        owner.set(model, backend);
      });
    }
  }, whenValid(catalogs));

export type Config = z.infer<typeof configSchema>;
