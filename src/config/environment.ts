import { nearest } from '../common/nearest.js';

/** Names the file that is laid over the defaults. */
export const CONFIG_VARIABLE = 'MIC_CONFIG';

/** The variables that set a key of the configuration. */
export const ENVIRONMENT: readonly {
  readonly variable: string;
  readonly section: string;
  readonly key: string;
  readonly isNumber?: boolean;
}[] = [
  { variable: 'MIC_HOST', section: 'server', key: 'host' },
  { variable: 'MIC_PORT', section: 'server', key: 'port', isNumber: true },
  { variable: 'MIC_STATE_DIR', section: 'state', key: 'dir' },
  { variable: 'MIC_LOG_FILE', section: 'log', key: 'file' },
];

/** The variables that are set, by the dotted key that each sets. */
export function variablesOf(env: NodeJS.ProcessEnv): ReadonlyMap<string, string> {
  const set = ENVIRONMENT.filter(({ variable }) => env[variable]);
  return new Map(set.map(({ variable, section, key }) => [`${section}.${key}`, variable]));
}

/** A key, and the variable that sets it where one does. @param variables of `variablesOf` */
export function settingInWords(key: string, variables: ReadonlyMap<string, string>): string {
  const variable = variables.get(key);
  return variable === undefined ? key : `${key}, set by ${variable}`;
}

const PREFIX = 'MIC_';
/** Begins the marks of servers, which this service may have been launched as itself. */
const MARKS = 'MIC_LAUNCH_';

/** A sentence for each variable that looks like one of this service and is none: it is mistyped, and nobody reads it. */
export function strayVariables(env: NodeJS.ProcessEnv): string[] {
  const known = [CONFIG_VARIABLE, ...ENVIRONMENT.map(({ variable }) => variable)];
  return Object.keys(env)
    .filter((name) => name.toUpperCase().startsWith(PREFIX) && !name.startsWith(MARKS))
    .filter((name) => !known.includes(name))
    .map((name) => {
      // What all have in common makes none of them more like it.
      const near = nearest(
        name.slice(PREFIX.length),
        known.map((each) => each.slice(PREFIX.length)),
      );
      const meant = near === undefined ? '' : `: is ${PREFIX}${near} meant?`;
      return `${name} is no variable of this service, and is not read${meant}`;
    });
}
