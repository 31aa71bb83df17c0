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
  const said = new Set<string>();
  return names.flatMap((name): CheckResult[] => {
    const own = findings.filter((finding) => finding.name === name);
    const faults = merged(own.flatMap((finding) => finding.faults));
    if (faults.length > 0) {
      // The same may be found on two ways: a repository that is missing cannot be mounted either.
      const news = faults.filter(({ message }) => !said.has(message));
      for (const { message } of news) said.add(message);
      return news.map((each): CheckResult => ({ name, status: 'warn', ...each }));
    }
    const unknown = own.find((finding) => finding.unknown !== undefined)?.unknown;
    const status = unknown === undefined ? 'ok' : 'unknown';
    return [{ name, status, message: unknown ?? null, remedy: null, models: [], line: '' }];
  });
}

function merged(faults: readonly Fault[]): Fault[] {
  const byMessage = new Map<string, Fault>();
  for (const each of faults) {
    const models = [...(byMessage.get(each.message)?.models ?? []), ...each.models];
    byMessage.set(each.message, { ...each, models: [...new Set(models)].sort() });
  }
  return [...byMessage.values()];
}
