import { Module } from '@nestjs/common';
import { CONFIG } from '../config/config.module.js';
import { isPortTaken } from '../host/ports.js';
import { LauncherRegistry } from '../launchers/launcher-registry.js';
import { LaunchersModule } from '../launchers/launchers.module.js';
import { backends, type FullConfig } from './backends.js';
import { FORMER_RUNNER, type FormerRunner, RUNNER, type Runner } from './runner.js';
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

@Module({
  imports: [LaunchersModule],
  providers: [
    { provide: RUNNER, useFactory: createRunners, inject: [CONFIG, LauncherRegistry] },
    { provide: FORMER_RUNNER, useFactory: formerRunners, inject: [CONFIG, LauncherRegistry] },
  ],
  exports: [RUNNER, FORMER_RUNNER],
})
export class RunnersModule {}
