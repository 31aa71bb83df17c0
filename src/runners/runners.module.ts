import { Module } from '@nestjs/common';
import { CONFIG } from '../config/config.module.js';
import { claimsOf } from '../config/port-overlaps.js';
import { isPortTaken } from '../host/ports.js';
import { LauncherRegistry } from '../launchers/launcher-registry.js';
import { backends, type FullConfig } from './backends.js';
import {
  BACKENDS_WITH_SERVERS,
  backendsWithServers,
  FORMER_RUNNER,
  type FormerRunner,
} from './former-backends.js';
import { RUNNER, type Runner } from './runner.js';
import type { RunnerHost } from './runner-host.js';

function hostOf({ launchers: limits }: FullConfig, launchers: LauncherRegistry): RunnerHost {
  return { launchers, isPortTaken, pullTimeoutSeconds: limits.docker.pull_timeout_seconds };
}

/** The RUNNER registry: the runner of every backend that the configuration offers. */
function createRunners(config: FullConfig, launchers: LauncherRegistry): Runner[] {
  const host = hostOf(config, launchers);
  return backends.flatMap((backend) => backend.createRunner(config.runners, host) ?? []);
}

function formerRunners(config: FullConfig, launchers: LauncherRegistry): FormerRunner {
  const host = hostOf(config, launchers);
  return (name) =>
    backends.find((backend) => backend.name === name)?.createFormerRunner(config.runners, host);
}

/** Token of the ports that the configuration gives to servers, by their dotted keys. */
export const PORT_CLAIMS = Symbol('PORT_CLAIMS');

function portClaims({ runners }: FullConfig) {
  return backends
    .filter(({ name }) => runners[name].enabled && runners[name].supported_models.length > 0)
    .flatMap((backend) =>
      claimsOf(backend, runners[backend.name]).map(({ key, from, to }) => ({
        path: `runners.${backend.name}.${key}`,
        from,
        to,
      })),
    );
}

@Module({
  providers: [
    { provide: RUNNER, useFactory: createRunners, inject: [CONFIG, LauncherRegistry] },
    { provide: FORMER_RUNNER, useFactory: formerRunners, inject: [CONFIG, LauncherRegistry] },
    { provide: BACKENDS_WITH_SERVERS, useFactory: backendsWithServers, inject: [LauncherRegistry] },
    { provide: PORT_CLAIMS, useFactory: portClaims, inject: [CONFIG] },
  ],
  exports: [RUNNER, FORMER_RUNNER, BACKENDS_WITH_SERVERS, PORT_CLAIMS],
})
export class RunnersModule {}
