import type { DeploymentOptions } from '../../runners/deployment.js';
import type { Runner } from '../../runners/runner.js';

/** Options off the disk, for a model of the configuration. */
export interface KnownOptions {
  readonly options: DeploymentOptions;
  /** `kept`: the configuration does not take them any more; `lost`: they make no sense to the backend, and are the defaults. */
  readonly fit: 'taken' | 'kept' | 'lost';
}

/** What runs was started with these options, and goes on with them, whatever the configuration takes by now. */
export function knownOptions(runner: Runner, modelName: string, stored: DeploymentOptions): KnownOptions {
  const defaults = runner.defaultOptions(modelName);
  const complete = { ...defaults, ...stored };
  const taken = runner.optionsSchemaOf(modelName).safeParse(complete);
  if (taken.success) return { options: taken.data, fit: 'taken' };
  const sensible = runner.optionsSchema.safeParse(complete);
  return sensible.success ? { options: sensible.data, fit: 'kept' } : { options: defaults, fit: 'lost' };
}

/** What the configuration takes of these options, and its defaults for the rest; `undefined`: it takes all. */
export function renewedOptions(
  runner: Runner,
  modelName: string,
  options: DeploymentOptions,
): DeploymentOptions | undefined {
  const schema = runner.optionsSchemaOf(modelName);
  if (schema.safeParse(options).success) return undefined;
  const defaults = runner.defaultOptions(modelName);
  const taken = Object.entries(options).filter(
    ([name, value]) => schema.safeParse({ ...defaults, [name]: value }).success,
  );
  const renewed = schema.safeParse({ ...defaults, ...Object.fromEntries(taken) });
  return renewed.success ? renewed.data : defaults;
}
