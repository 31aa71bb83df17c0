import { GPU_VARIABLES, MARK_PREFIX } from '../launchers/gpu-variables.js';

/** Flags or variables that this service sets itself → what an operator uses instead. */
export type Decided = Readonly<Record<string, string>>;

/** One fault of a list or a mapping of the configuration; `key` is the item's index, or the variable's name. */
export interface DecidedFault {
  readonly key: string | number;
  readonly message: string;
}

/** Of every backend. */
export const DECIDED_VARIABLES: Decided = {
  ...Object.fromEntries(GPU_VARIABLES.map((name) => [name, 'gpu_id of a start, and the key gpus or device'])),
  [`${MARK_PREFIX}*`]: 'nothing, it marks the servers of this service',
};

/** The variables of an `env` that are this service's to set. */
export function variableFaults(
  env: Readonly<Record<string, unknown>>,
  decided: Decided = DECIDED_VARIABLES,
): DecidedFault[] {
  return Object.keys(env).flatMap((name) => {
    const message = variableDecision(name, decided);
    return message === undefined ? [] : [{ key: name, message }];
  });
}

function variableDecision(name: string, decided: Decided): string | undefined {
  const key = name.startsWith(MARK_PREFIX) ? `${MARK_PREFIX}*` : name;
  return Object.hasOwn(decided, key) ? takeOut(name, decided[key] ?? '') : undefined;
}

/**
 * `NAME=value` or `-u NAME`, as `env` takes them, an option such as `--env=NAME=value`, or a shell in a text of its own. What
 * only reads it, `$NAME`, is none.
 */
const VARIABLE = /(?:^|[\s;&|("'`=]|-u)([A-Za-z_][A-Za-z0-9_]*)(?==|$|[\s;&|)"'`])/g;

/** `env`, alone or in a text for a shell, and then `-i`, also among others: it takes away what this service sets. */
const ENV = /(?:^|[;&|("'`/])env$/;
const WIPE = /^-(?:[a-hj-z]*i[a-z]*|-ignore-environment)?$/;

/**
 * The items of a command line that set or take away a variable of this service: `[env, CUDA_VISIBLE_DEVICES=0, program]`.
 */
export function assignmentFaults(items: readonly string[], own: Decided = {}): DecidedFault[] {
  const decided = { ...DECIDED_VARIABLES, ...own };
  const named = items.flatMap((item, key) =>
    [...item.matchAll(VARIABLE)].flatMap(([, name = '']) => {
      const message = variableDecision(name, decided);
      return message === undefined ? [] : [{ key, message }];
    }),
  );
  return [...named, ...wipeFaults(items)];
}

function wipeFaults(items: readonly string[]): DecidedFault[] {
  const message = 'env -i takes away what this service sets: name with -u what is not to be inherited';
  return items.flatMap((item, key) => {
    const isEnv = /(?:^|\/)env$/.test(item);
    const end = items.findIndex((each, at) => at > key && !/^-|=/.test(each));
    const command = isEnv ? items.slice(key, end < 0 ? undefined : end).join(' ') : item;
    return wipes(command) ? [{ key, message }] : [];
  });
}

function wipes(command: string): boolean {
  const words = command.split(/\s+/);
  const env = words.findIndex((word) => ENV.test(word));
  return env !== -1 && words.slice(env + 1).some((word) => WIPE.test(word));
}

/** An item as a flag: `--http_port=1` is `--http-port`. `undefined` where it is none. */
export function flagOf(item: string): string | undefined {
  return writtenFlag(item)?.replaceAll('_', '-');
}

function writtenFlag(item: string): string | undefined {
  return /^--?[A-Za-z][^=\s]*/.exec(item)?.[0];
}

/** One of some flags, as it was found in an item. */
export interface FoundFlag {
  readonly flag: string;
  /** The words that begin a sentence about it: as it is written, and what that is short for. */
  readonly subject: string;
}

/**
 * Which of `flags` an item gives. Programs take a long flag by any beginning that no other flag has, some with "_" for "-":
 * what begins one of `flags` counts as that, unless it is a flag of its own (`free`).
 */
export function findFlag(
  item: string,
  flags: Decided,
  free: ReadonlySet<string> = new Set(),
): FoundFlag | undefined {
  const written = writtenFlag(item);
  const flag = flagOf(item);
  if (written === undefined || flag === undefined || free.has(flag)) return undefined;
  if (Object.hasOwn(flags, flag)) return { flag, subject: written };
  const whole = flag.startsWith('--') ? Object.keys(flags).find((each) => each.startsWith(flag)) : undefined;
  return whole === undefined
    ? undefined
    : { flag: whole, subject: `${written} is short for ${whole}, which` };
}

/** Why `item` is not an operator's to give; `undefined` where it is. */
export function flagDecision(item: string, decided: Decided, free?: ReadonlySet<string>): string | undefined {
  const found = findFlag(item, decided, free);
  return found && takeOut(found.subject, decided[found.flag] ?? '');
}

/** The items that give a flag of this service. */
export function flagFaultsIn(
  items: readonly string[],
  decided: Decided,
  free?: ReadonlySet<string>,
): DecidedFault[] {
  return items.flatMap((item, key) => {
    const message = flagDecision(item, decided, free);
    return message === undefined ? [] : [{ key, message }];
  });
}

/** What of the program and its first arguments this service decides. Of short flags, which wrappers have too, none. */
export function commandFaults(
  command: readonly string[],
  { flags, variables, free }: { flags: Decided; variables?: Decided; free?: ReadonlySet<string> },
): DecidedFault[] {
  const long = Object.fromEntries(Object.entries(flags).filter(([flag]) => flag.startsWith('--')));
  return [...flagFaultsIn(command, long, free), ...assignmentFaults(command, variables)];
}

function takeOut(subject: string, decider: string): string {
  return `${subject} is set by this service: use ${decider}`;
}
