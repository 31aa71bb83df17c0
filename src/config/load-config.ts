import { parse, YAMLParseError } from 'yaml';
import { DomainError, messageOf } from '../common/errors.js';
import { readRegularSync } from '../common/files/regular-file.js';
import type { BackendSection } from './backend-section.js';
import { type ConfigFault, FaultWords, strayModelSettings } from './config-faults.js';
import { CONFIG_VARIABLE, ENVIRONMENT, variablesOf } from './environment.js';
import { type ConfigOf, configSchemaOf } from './schema.js';

export class ConfigInvalidError extends DomainError {
  readonly code = 'CONFIG_INVALID';
  readonly kind = 'internal';

  constructor(readonly faults: readonly ConfigFault[]) {
    super(
      `The configuration has ${faults.length} fault${faults.length === 1 ? '' : 's'}:\n` +
        faults.map((fault) => `  ${fault.path}: ${fault.message}`).join('\n'),
      { faults },
    );
  }
}

type Tree = Record<string, unknown>;

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `over` laid over `base`: mappings merge key by key, anything else replaces. */
function overlay(base: Tree, over: Tree): Tree {
  const result: Tree = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const below = Object.hasOwn(base, key) ? base[key] : undefined;
    result[key] = isTree(below) && isTree(value) ? overlay(below, value) : value;
  }
  return result;
}

/** @param variable the one that names the file */
function readYaml(path: string, variable?: string): Tree {
  let content: unknown;
  try {
    content = parse(readRegularSync(path));
  } catch (error) {
    const namedBy = variable === undefined ? '' : `${variable}: `;
    const message =
      error instanceof YAMLParseError ? `not valid YAML: ${error.message}` : `${namedBy}${messageOf(error)}`;
    throw new ConfigInvalidError([{ path, message }]);
  }
  if (content === null || content === undefined) return {};
  if (!isTree(content)) throw new ConfigInvalidError([{ path, message: 'must hold a mapping' }]);
  return content;
}

function fromEnvironment(env: NodeJS.ProcessEnv): Tree {
  let tree: Tree = {};
  for (const { variable, section, key, isNumber } of ENVIRONMENT) {
    const value = env[variable];
    if (value === undefined || value === '') continue;
    const typed = isNumber && /^\d+$/.test(value) ? Number(value) : value;
    tree = overlay(tree, { [section]: { [key]: typed } });
  }
  return tree;
}

/**
 * The configuration of a service with these backends: `defaultFile`, under the file that `MIC_CONFIG` names, under the
 * environment.
 * @throws ConfigInvalidError with every fault at once
 */
export function loadConfig<const Backends extends readonly BackendSection[]>(
  defaultFile: string,
  env: NodeJS.ProcessEnv,
  backends: Backends,
): ConfigOf<Backends> {
  const base = readYaml(defaultFile);
  const file = env[CONFIG_VARIABLE];
  const given = file ? readYaml(file, CONFIG_VARIABLE) : base;
  const tree = overlay(overlay(base, given), fromEnvironment(env));
  const schema = configSchemaOf(backends);
  const result = schema.safeParse(tree);
  const stray = strayModelSettings(backends, given.runners, tree.runners);
  if (result.success && stray.length === 0) return result.data;
  const words = new FaultWords(schema, tree, variablesOf(env));
  const faults = (result.error?.issues ?? []).map((issue) => words.of(issue));
  const hasFaults = ({ path }: ConfigFault): boolean =>
    faults.some((fault) => fault.path.startsWith(`${path}.`));
  throw new ConfigInvalidError([...faults, ...stray.filter((fault) => !hasFaults(fault))]);
}
