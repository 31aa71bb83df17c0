import type { Fault, Finding } from './check.js';

/** One line of the answer. */
export interface CheckResult {
  readonly name: string;
  /** `unknown`: nobody could tell in time. */
  readonly status: 'ok' | 'warn' | 'unknown';
  readonly message: string | null;
  readonly remedy: string | null;
  /** The models that need it; empty where it is of no model, or of all. */
  readonly models: readonly string[];
  /** For the log. */
  readonly line: string;
}

/** Each fault once, with all models that it is about; what has none is one line that says so. */
export function resultsOf(findings: readonly Finding[]): CheckResult[] {
  const names = [...new Set(findings.map(({ name }) => name))];
  const said = new Map<string, ReadonlySet<string>>();
  return names.flatMap((name): CheckResult[] => {
    const own = findings.filter((finding) => finding.name === name);
    const faults = merged(own.flatMap((finding) => finding.faults));
    if (faults.length > 0) {
      // The same may be found on two ways of one backend: a repository that is missing cannot be mounted either.
      const key = ({ message }: Fault): string => `${backendOf(name)} ${message}`;
      const news = faults.filter((each) => {
        const models = said.get(key(each));
        return !models || each.models.some((model) => !models.has(model));
      });
      for (const each of news) said.set(key(each), new Set([...(said.get(key(each)) ?? []), ...each.models]));
      return news.map((each): CheckResult => ({ name, status: 'warn', ...each }));
    }
    const unknown = own.find((finding) => finding.unknown !== undefined)?.unknown;
    const status = unknown === undefined ? 'ok' : 'unknown';
    return [{ name, status, message: unknown ?? null, remedy: null, models: [], line: '' }];
  });
}

/** `triton.image` is of Triton; a subject of the host is its own. */
function backendOf(name: string): string {
  return name.split('.')[0] ?? name;
}

function merged(faults: readonly Fault[]): Fault[] {
  const byMessage = new Map<string, Fault>();
  for (const each of faults) {
    const models = [...(byMessage.get(each.message)?.models ?? []), ...each.models];
    byMessage.set(each.message, { ...each, models: [...new Set(models)].sort() });
  }
  return [...byMessage.values()];
}
