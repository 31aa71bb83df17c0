import { Module } from '@nestjs/common';
import { CONFIG } from '../config/config.module.js';
import { isPortTaken } from '../host/ports.js';
import { LauncherRegistry } from '../launchers/launcher-registry.js';
import { LaunchersModule } from '../launchers/launchers.module.js';
import { backends, type FullConfig } from './backends.js';
import { RUNNER, type Runner } from './runner.js';
import type { RunnerHost } from './runner-host.js';

/** The RUNNER registry: the runner of every backend that the configuration offers. */
function createRunners({ runners, launchers: limits }: FullConfig, launchers: LauncherRegistry): Runner[] {
  const host: RunnerHost = {
    launchers,
    isPortTaken,
    pullTimeoutSeconds: limits.docker.pull_timeout_seconds,
  };
  return backends.flatMap((backend) => backend.createRunner(runners, host) ?? []);
}

@Module({
  imports: [LaunchersModule],
  providers: [{ provide: RUNNER, useFactory: createRunners, inject: [CONFIG, LauncherRegistry] }],
  exports: [RUNNER],
})
export class RunnersModule {}
