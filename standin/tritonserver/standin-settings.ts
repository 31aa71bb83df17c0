import { TritonError } from './triton-error.js';

/** How a model behaves: what its `standin.json` says, and defaults for the rest. */
export interface StandinSettings {
  /** How long a load takes. */
  load_seconds: number;
  /** How long an unload takes once no request is in flight. */
  unload_seconds: number;
  /** How long one instance computes on one request. */
  infer_ms: number;
  /** Every output value is `scale` × input value + `offset`. */
  scale: number;
  offset: number;
  /** The load fails with this text after `load_seconds`. */
  fail_load?: string;
  /** The load never ends. */
  hang_load?: boolean;
  /** The whole server ends with this exit code after `load_seconds`. */
  crash_on_load?: number;
  /** The process that computes dies after so many requests: all others fail, until the model is loaded anew. */
  stub_dies_after?: number;
  /** Requests after so many are never done, and keep their instance. */
  hang_infer_after?: number;
  /** Each request asks this model, too, and fails where that is not ready. */
  calls?: string;
  /** The unload never ends. */
  hang_unload?: boolean;
  /** SIGTERM has no effect on the server while this model is loaded. */
  exit_ignore_sigterm?: boolean;
}

type Check = (value: unknown) => string | undefined;

const MAX_SECONDS = 86_400;
const seconds = number(0, MAX_SECONDS);
const finite = number(-1e9, 1e9);
const flag: Check = (value) => (typeof value === 'boolean' ? undefined : 'must be true or false');

const CHECKS: Readonly<Record<keyof StandinSettings, Check>> = {
  load_seconds: seconds,
  unload_seconds: seconds,
  infer_ms: number(0, MAX_SECONDS * 1000),
  scale: finite,
  offset: finite,
  fail_load: (value) => (typeof value === 'string' && value ? undefined : 'must be a text'),
  hang_load: flag,
  crash_on_load: (value) =>
    Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 255
      ? undefined
      : 'must be an exit code, 0 to 255',
  stub_dies_after: number(0, 1e6),
  hang_infer_after: number(0, 1e6),
  calls: (value) => (typeof value === 'string' && value ? undefined : 'must be the name of a model'),
  hang_unload: flag,
  exit_ignore_sigterm: flag,
};

/** Settings of a model that says nothing about itself. */
export function defaultSettings(env: Readonly<Record<string, string | undefined>>): StandinSettings {
  const text = env.TRITON_STANDIN_LOAD_SECONDS;
  const load_seconds = text === undefined || text.trim() === '' ? 1 : Number(text);
  const problem = seconds(load_seconds);
  if (problem) throw new Error(`TRITON_STANDIN_LOAD_SECONDS ${problem}, not "${text ?? ''}"`);
  return { load_seconds, unload_seconds: 0.2, infer_ms: 0, scale: 2, offset: 1 };
}

/** Reads the text of a `standin.json` over the defaults. Throws TritonError for anything it doesn't know. */
export function parseSettings(text: string, defaults: StandinSettings): StandinSettings {
  const given = parseObject(text);
  const problems = Object.entries(given).flatMap(([key, value]) => {
    if (!isKey(key)) return [`unknown key "${key}"; it knows ${Object.keys(CHECKS).join(', ')}`];
    const problem = CHECKS[key](value);
    return problem ? [`"${key}" ${problem}`] : [];
  });
  if (problems.length > 0) throw refused(problems.join('; '));
  return { ...defaults, ...given };
}

function isKey(key: string): key is keyof StandinSettings {
  return Object.hasOwn(CHECKS, key);
}

function parseObject(text: string): object {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw refused(error instanceof Error ? error.message : String(error));
  }
  if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed;
  throw refused('must hold one JSON object');
}

function refused(problem: string): TritonError {
  return new TritonError('INVALID_ARG', `standin.json: ${problem}`);
}

function number(min: number, max: number): Check {
  return (value) =>
    typeof value === 'number' && value >= min && value <= max
      ? undefined
      : `must be a number from ${min} to ${max}`;
}
