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
