import * as z from 'zod';
import { type Decided, type DecidedFault, flagDecision, flagOf } from '../decided.js';
import { type HttpOption, httpOptionSchema } from './http-options.js';
import { placeholdersIn, PORT_PREFIX } from './http-template.js';

/** What servers read of their place where nothing else says it: not inherited, but free in `env`. */
export const HTTP_WITHHELD = ['PORT', 'HOST'];

/** Whether a placeholder is of what this service decides about a server. */
function isPlace(placeholder: string): boolean {
  return placeholder === 'port' || placeholder === 'host' || placeholder.startsWith(PORT_PREFIX);
}

/** The flags of a model that its arguments give what this service decides: `--port '{port}'`. */
export function placeFlags(args: readonly string[]): Decided {
  return Object.fromEntries(
    args.flatMap((item, index): [string, string][] => {
      const flag = flagOf(item);
      const value = valueAt(args, index);
      const place = placeholdersIn(value).find(isPlace);
      return flag === undefined || place === undefined ? [] : [[flag, `{${place}} alone`]];
    }),
  );
}

/** The arguments that give such a flag once more, with another value. */
export function placeFaults(args: readonly string[]): DecidedFault[] {
  const place = placeFlags(args);
  return args.flatMap((item, key) => {
    const message = placeDecision(item, place);
    if (message === undefined) return [];
    return placeholdersIn(valueAt(args, key)).some(isPlace) ? [] : [{ key, message }];
  });
}

/** What a model takes for the arguments that a place is in. */
interface ModelArguments {
  readonly command?: readonly string[] | undefined;
  readonly args: readonly string[];
  readonly options: Readonly<Record<string, HttpOption>>;
}

/** What `StartRequest.config` of a model may hold: a string that stands alone gives no place once more. */
export function httpModelOptions({
  command = [],
  args,
  options,
}: ModelArguments): z.ZodType<Record<string, unknown>> {
  const place = placeFlags([...command, ...args]);
  const schemas = Object.entries(options).map(([name, option]): [string, z.ZodType] => [
    name,
    httpOptionSchema(option).superRefine((value, context) => {
      const message = placeDecision(String(value), place);
      if (message !== undefined) context.addIssue({ code: 'custom', message });
    }),
  ]);
  return z.strictObject(Object.fromEntries(schemas));
}

/** Why a start may not say `item` for an argument; `undefined` where it may. */
export function placeDecision(item: string, place: Decided): string | undefined {
  const flag = flagOf(item);
  if (flag === undefined) return undefined;
  // What ends before a "-" of another flag is one of its own: of --port-http, --port is not short, and --por is.
  const whole = Object.keys(place).find((each) => each.startsWith(flag) && each[flag.length] !== '-');
  return whole === undefined ? undefined : flagDecision(item, { [whole]: place[whole] ?? '' });
}

/** The value that the item at `index` gives its flag: its own after "=", or the next item. */
function valueAt(args: readonly string[], index: number): string {
  const item = args[index] ?? '';
  const sign = item.indexOf('=');
  return sign === -1 ? (args[index + 1] ?? '') : item.slice(sign + 1);
}
