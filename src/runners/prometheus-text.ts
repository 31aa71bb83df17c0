/** One line of a Prometheus text. */
export interface MetricSample {
  readonly name: string;
  /** As they are written: `model="MAM",version="1"`; empty without labels. */
  readonly labels: string;
  readonly value: number;
}

/** `name{label="value",…} 12`; a value may have an exponent, and a timestamp may follow. */
const SAMPLE =
  /^([A-Za-z_:][A-Za-z0-9_:]*)(?:\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})? +([0-9.]+(?:[eE][+-]?[0-9]+)?)(?: +-?[0-9]+)?$/;
/** The name that a line with a sample begins with. */
const NAME = /^[A-Za-z_:][A-Za-z0-9_:]*(?=[ {])/;
const MAX_LINE_LENGTH = 16_384;

/** The samples with these names that are finite and not negative; what is no such line is passed over. */
export function metricSamples(text: string, names: readonly string[]): MetricSample[] {
  return text.split('\n').flatMap((line) => {
    if (line.length > MAX_LINE_LENGTH || !names.some((name) => line.startsWith(name))) return [];
    const [, name = '', labels = '', value] = SAMPLE.exec(line.trimEnd()) ?? [];
    const number = Number(value);
    return names.includes(name) && Number.isFinite(number) ? [{ name, labels, value: number }] : [];
  });
}

/** The sum of all samples with these names; `undefined` where there is none. */
export function metricSum(text: string, names: readonly string[]): number | undefined {
  const samples = metricSamples(text, names);
  return samples.length === 0 ? undefined : samples.reduce((sum, { value }) => sum + value, 0);
}

/** `# TYPE name histogram`: a metric is declared so, also one that has no sample before its first event. */
const DECLARATION = /^# TYPE ([A-Za-z_:][A-Za-z0-9_:]*) (\w+)\s*$/;
/** What the samples of a declared metric are called besides its own name. */
const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  counter: ['_total'],
  histogram: ['_count', '_sum', '_bucket'],
  summary: ['_count', '_sum'],
};

/** Those of the names that the text neither has a sample of nor declares. One that is only declared has counted nothing yet. */
export function absentMetrics(text: string, names: readonly string[]): string[] {
  const sampled = metricSamples(text, names).map(({ name }) => name);
  const unsampled = names.filter((name) => !sampled.includes(name));
  if (unsampled.length === 0) return [];
  const lines = text.split('\n');
  const declared = lines.flatMap(declaredIn);
  const shown = lines.flatMap(shownIn);
  // A sample that is no number, as NaN, counts nothing, whatever the declaration says.
  return unsampled.filter((name) => !declared.includes(name) || shown.includes(name));
}

/** All names that the text has, with a sample or declared. */
export function metricNames(text: string): string[] {
  return [...new Set(text.split('\n').flatMap((line) => [...shownIn(line), ...declaredIn(line)]))];
}

function shownIn(line: string): string[] {
  return [...(NAME.exec(line) ?? [])];
}

function declaredIn(line: string): string[] {
  const [, name, type = ''] = DECLARATION.exec(line) ?? [];
  return name === undefined ? [] : [name, ...(SUFFIXES[type] ?? []).map((suffix) => `${name}${suffix}`)];
}
