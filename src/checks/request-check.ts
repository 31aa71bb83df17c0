import type { Config } from '../config/schema.js';
import type { Runner } from '../runners/runner.js';
import type { Check, Fault } from './check.js';

/** What the configuration wants of a model's requests, drains and liveness, where nobody can count them. */
export function requestCheck(runners: readonly Runner[], liveness: Config['liveness']): Check {
  return {
    name: 'requests',
    late: 'PREFLIGHT_TIMEOUT',
    run: () =>
      Promise.resolve(
        runners.flatMap((runner) =>
          runner.models.flatMap((modelName) => faultsOf(runner, modelName, liveness)),
        ),
      ),
  };
}

function faultsOf(runner: Runner, modelName: string, liveness: Config['liveness']): Fault[] {
  const { progressSeconds = liveness.progress_seconds } = runner.livenessOf(modelName);
  const vainDrain = runner.drainSeconds(modelName) > 0 ? runner.cannotDrain(modelName) : undefined;
  return [
    ...inVain(`drain_seconds of ${modelName}`, modelName, vainDrain),
    ...inVain(
      `liveness of ${modelName}`,
      modelName,
      progressSeconds > 0 ? runner.cannotFollow(modelName) : undefined,
    ),
  ];
}

/** @param reason the cause and the remedy, in one sentence; `undefined`: it has its effect */
function inVain(setting: string, modelName: string, reason: string | undefined): Fault[] {
  if (reason === undefined) return [];
  const line = `${setting} has no effect. ${reason}`;
  return [{ message: line, remedy: reason, line, models: [modelName] }];
}
