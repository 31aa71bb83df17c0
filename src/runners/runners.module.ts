import { Module } from '@nestjs/common';
import { CONFIG } from '../config/config.module.js';
import type { Config } from '../config/schema.js';
import { LauncherRegistry } from '../launchers/launcher-registry.js';
import { LaunchersModule } from '../launchers/launchers.module.js';
import { isPortTaken } from '../host/ports.js';
import { ComfyuiRunner } from './comfyui/comfyui-runner.js';
import { HttpRunner } from './http/http-runner.js';
import type { RunnerHost } from './placement-server/served-placement.js';
import { RUNNER, type Runner } from './runner.js';
import { TritonRunner } from './triton/triton-runner.js';
import { VllmRunner } from './vllm/vllm-runner.js';

/** The RUNNER registry: every enabled backend. A new backend is one line here. */
function createRunners({ runners, launchers: limits }: Config, launchers: LauncherRegistry): Runner[] {
  const host: RunnerHost = {
    launchers,
    isPortTaken,
    pullTimeoutSeconds: limits.docker.pull_timeout_seconds,
  };
  return [
    ...(runners.triton.enabled
      ? [
          new TritonRunner(
            runners.triton,
            launchers.get(runners.triton.launcher),
            isPortTaken,
            limits.docker.pull_timeout_seconds,
          ),
        ]
      : []),
    ...(runners.comfyui.enabled ? [new ComfyuiRunner(runners.comfyui, host)] : []),
    ...(runners.http.enabled ? [new HttpRunner(runners.http, host)] : []),
    ...(runners.vllm.enabled ? [new VllmRunner(runners.vllm, host)] : []),
  ];
}

@Module({
  imports: [LaunchersModule],
  providers: [{ provide: RUNNER, useFactory: createRunners, inject: [CONFIG, LauncherRegistry] }],
  exports: [RUNNER],
})
export class RunnersModule {}
