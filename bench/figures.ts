/** One line of the report. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: 'ms' | 'ratio' | 'count' | '1/s' | 'MiB';
  /** The project's aim for a time or a ratio. It depends on the machine: it is shown, and fails nothing. */
  readonly target?: string;
  /** The only right value, on every machine. Another value fails the run. */
  readonly mustBe?: number;
}

/** The figure as a line of the table. */
export function lineOf({ name, value, unit, target, mustBe }: Figure): string {
  const shown = unit === 'count' ? String(value) : value.toFixed(2);
  const aim = mustBe === undefined ? (target ?? '') : `= ${mustBe}`;
  return `  ${name.padEnd(46)} ${shown.padStart(10)} ${unit.padEnd(6)} ${aim}`.trimEnd();
}

/** Why the suite has failed, one sentence per reason; empty when the suite is right. */
export function faultsOf(suite: string, figures: readonly Figure[]): string[] {
  if (figures.length === 0) return [`${suite}: no figures`];
  return figures.flatMap(({ name, value, mustBe }) => {
    if (!Number.isFinite(value)) return [`${suite}: "${name}" has no value`];
    if (mustBe !== undefined && value !== mustBe)
      return [`${suite}: "${name}" is ${value}, and must be ${mustBe}`];
    return [];
  });
}
