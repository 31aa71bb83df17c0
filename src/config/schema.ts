import { z } from 'zod';
import type { BackendSection } from './backend-section.js';
import { runnersSchemaOf } from './runners-schema.js';
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

const serviceKeys = {
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
};

/** The configuration of the service itself, without its backends. */
export type Config = z.infer<z.ZodObject<typeof serviceKeys>>;

/** The whole configuration of a service with these backends, valid or refused as one. Keys are those of the YAML files. */
export function configSchemaOf<const Backends extends readonly BackendSection[]>(backends: Backends) {
  return z.strictObject({ ...serviceKeys, runners: runnersSchemaOf(backends) });
}

/** The whole configuration of a service with these backends. */
export type ConfigOf<Backends extends readonly BackendSection[]> = z.infer<
  ReturnType<typeof configSchemaOf<Backends>>
>;
