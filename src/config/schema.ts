import * as z from 'zod';
import type { BackendSection } from './backend-section.js';
import { portOverlapsWith } from './port-overlaps.js';
import { runnersSchemaOf, sectionsInUse } from './runners-schema.js';
import { LOOPBACK, REACHABLE, tcpPort, whenValid } from './sections/common.js';
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

/** Of port 0, the service takes one that is free. */
const withPort = z.object({ server: z.object({ port: tcpPort }), runners: z.unknown() });

const withTrust = z.object({
  server: z.object({ trusted_network: z.boolean() }),
  runners: z.record(z.string(), z.unknown()),
});
const withAddress = z.object({ bind_address: z.string() });

/** The whole configuration of a service with these backends, valid or refused as one. Keys are those of the YAML files. */
export function configSchemaOf<const Backends extends readonly BackendSection[]>(backends: Backends) {
  return z
    .strictObject({ ...serviceKeys, runners: runnersSchemaOf(backends) })
    .superRefine((config, context) => {
      const { server, runners } = withPort.parse(config);
      const own = { key: 'server.port', from: server.port, to: server.port };
      for (const { path, message } of portOverlapsWith(own, sectionsInUse(backends, runners))) {
        context.addIssue({ code: 'custom', path: ['runners', ...path], message });
      }
    }, whenValid(withPort))
    .superRefine((config, context) => {
      const { server, runners } = withTrust.parse(config);
      if (server.trusted_network) return;
      for (const [backend, section] of Object.entries(runners)) {
        const address = withAddress.safeParse(section).data?.bind_address ?? 'localhost';
        if (LOOPBACK.test(address)) continue;
        context.addIssue({ code: 'custom', path: ['runners', backend, 'bind_address'], message: REACHABLE });
      }
    }, whenValid(withTrust));
}

/** The whole configuration of a service with these backends. */
export type ConfigOf<Backends extends readonly BackendSection[]> = z.infer<
  ReturnType<typeof configSchemaOf<Backends>>
>;
