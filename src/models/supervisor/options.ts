import { isDeepStrictEqual } from 'node:util';
import type { DeploymentOptions, Runner } from '../../runners/runner.js';
import { InvalidOptionsError } from '../deployment/errors.js';

/**
 * `StartRequest.config` with the model's defaults filled in.
 * @throws InvalidOptionsError that names every key at fault
 */
export function parseOptions(
  runner: Runner,
  modelName: string,
  config: Record<string, unknown>,
): DeploymentOptions {
  const result = runner
    .optionsSchemaOf(modelName)
    .safeParse({ ...runner.defaultOptions(modelName), ...config });
  if (result.success) return result.data;
  const faults = result.error.issues.map((issue) => {
    const path = ['config', ...issue.path].join('.');
    return issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => `${path}.${key.slice(0, 100)} is no option of ${runner.backend}`).join('; ')
      : `${path}: ${issue.message}`;
  });
  throw new InvalidOptionsError(`Invalid config for ${modelName}: ${faults.join('; ')}.`);
}

export function sameOptions(a: DeploymentOptions, b: DeploymentOptions): boolean {
  return isDeepStrictEqual({ ...a }, { ...b });
}
