/** What was found: one line each, as it is found. */
export class Report {
  private passed = 0;
  private readonly missed: string[] = [];

  constructor(private readonly write: (line: string) => void) {}

  /** @param figure what was measured, and what it was held against */
  check(name: string, isRight: boolean, figure: string): void {
    if (isRight) this.passed += 1;
    else this.missed.push(name);
    this.write(`${isRight ? 'ok  ' : 'MISS'}  ${name}: ${figure}`);
  }

  note(text: string): void {
    this.write(`      ${text}`);
  }

  /** What throws is a miss, and ends this section alone. */
  async section(name: string, run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      this.check(name, false, error instanceof Error ? error.message : String(error));
    }
  }

  /** @returns the exit code */
  end(): number {
    const { passed, missed } = this;
    const misses = missed.length === 0 ? '' : `; missed: ${[...new Set(missed)].join(', ')}`;
    this.write(`${passed} of ${passed + missed.length} checks passed${misses}`);
    return missed.length === 0 && passed > 0 ? 0 : 1;
  }
}
