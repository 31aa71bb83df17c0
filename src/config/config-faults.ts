import * as z from 'zod';
import type { BackendSection } from './backend-section.js';
import { nearest } from '../common/nearest.js';
import { settingInWords } from './environment.js';
import { KnownKeys, valueAt } from './known-keys.js';

/** One fault of a configuration. `path` is a dotted key (`runners.triton.http_port`), or a file. */
export interface ConfigFault {
  readonly path: string;
  readonly message: string;
}

/** What is wrong with a value alone; other codes are of rules. */
const OF_THE_VALUE: ReadonlySet<string> = new Set(['invalid_type', 'invalid_value', 'invalid_union']);

/** Makes faults, in words that name the remedy, of what a schema says. */
export class FaultWords {
  private known: KnownKeys | undefined;

  /**
   * @param given what the schema was asked about
   * @param variables the environment variables in use, by the dotted key that each sets
   */
  constructor(
    private readonly schema: z.ZodType,
    private readonly given: unknown,
    private readonly variables: ReadonlyMap<string, string>,
  ) {}

  of(issue: z.core.$ZodIssue): ConfigFault {
    const path = dotted(issue.path);
    const variable = this.variables.get(path);
    const message = this.namingVariables(this.message(issue));
    return { path, message: `${variable === undefined ? '' : `${variable}: `}${message}` };
  }

  /** A sentence about another key than that of its fault names the variable that sets it, too. */
  private namingVariables(sentence: string): string {
    const keys = [...this.variables.keys()];
    return keys.reduce((text, key) => text.replaceAll(key, settingInWords(key, this.variables)), sentence);
  }

  private message(issue: z.core.$ZodIssue): string {
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((key) => this.unknownKey(issue.path, key)).join('; ');
    if (issue.code === 'invalid_key') return this.wrongKey(issue);
    const message = issue.code === 'invalid_union' ? ofUnion(issue) : issue.message;
    return this.isMissing(issue) ? missing(message) : message;
  }

  /** Not there, or nothing after its colon. */
  private isMissing({ code, path }: z.core.$ZodIssue): boolean {
    if (!OF_THE_VALUE.has(code)) return false;
    const value = valueAt(this.given, path);
    return value === undefined || value === null;
  }

  private unknownKey(path: readonly PropertyKey[], key: string): string {
    return `${key} is no key${instead(this.nearest(path, key))}`;
  }

  /** Of a mapping whose keys are an operator's, and have a form. */
  private wrongKey({ path, issues }: z.core.$ZodIssueInvalidKey): string {
    const key = String(path.at(-1));
    const form = issues.map(({ message }) => message).join('; ');
    const near = this.nearest(path.slice(0, -1), key);
    return `${key} is no key: ${form}${near === undefined ? '' : `; is ${near} meant?`}`;
  }

  private nearest(path: readonly PropertyKey[], key: string): string | undefined {
    this.known ??= new KnownKeys(this.schema);
    return this.known.nearest(path, key, valueAt(this.given, path));
  }
}

const settings = z.record(z.string(), z.unknown());
const catalog = z.object({ supported_models: z.array(z.string()) });

/** @param message of the schema: `Invalid input: expected string, received null` */
function missing(message: string): string {
  const expected = expectedIn(message);
  return expected === undefined ? 'is missing' : `is missing: expected ${expected}`;
}

function expectedIn(message: string): string | undefined {
  return /expected (.+?)(, received \w+)?$/is.exec(message)?.[1];
}

/** What each of the alternatives expects; the union itself does not say. */
function ofUnion({ errors, message }: z.core.$ZodIssueInvalidUnion): string {
  const expected = errors.flat().flatMap((issue) => expectedIn(issue.message) ?? []);
  return expected.length === 0 ? message : `Invalid input: expected ${expected.join(' or ')}`;
}

/**
 * Settings that a file has for models which no list of their backend has.
 * @param given the `runners` of that file alone: what a file below it has for models that this one left out is no fault
 */
export function strayModelSettings(
  backends: readonly BackendSection[],
  given: unknown,
  merged: unknown,
): ConfigFault[] {
  const [own, all] = [given, merged].map((tree) => settings.safeParse(tree).data ?? {});
  return backends.flatMap(({ name, modelSettings }) => {
    const models = catalog.safeParse(all?.[name]).data?.supported_models;
    if (modelSettings === undefined || models === undefined) return [];
    const section = settings.safeParse(own?.[name]).data ?? {};
    const { key, defaultEntry } = modelSettings;
    const known = defaultEntry === undefined ? models : [...models, defaultEntry];
    const entries = Object.keys(settings.safeParse(section[key]).data ?? {});
    return entries
      .filter((entry) => !known.includes(entry))
      .map((entry) => ({
        path: dotted(['runners', name, key, entry]),
        message: `${entry} is not among runners.${name}.supported_models${instead(nearest(entry, known))}`,
      }));
  });
}

function instead(near: string | undefined): string {
  return near === undefined ? '' : `: is ${near} meant?`;
}

function dotted(path: readonly PropertyKey[]): string {
  return path.map(String).join('.') || '(top level)';
}
