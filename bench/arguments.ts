import { parseArgs } from 'node:util';

export interface Choice<Suite extends string> {
  readonly smoke: boolean;
  readonly suites: readonly Suite[];
}

/**
 * The options and the suites of the command line; no name means every suite.
 * @throws Error that names the suites, for an unknown option or suite
 */
export function choiceOf<Suite extends string>(
  argv: readonly string[],
  known: readonly Suite[],
): Choice<Suite> {
  const usage = `usage: npm run bench -- [--smoke] [suite …]\nsuites: ${known.join(', ')}`;
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      options: { smoke: { type: 'boolean', default: false } },
      allowPositionals: true,
    });
    const unknown = positionals.filter((name) => !known.some((suite) => suite === name));
    if (unknown.length > 0) throw new Error(`unknown suite: ${unknown.join(', ')}`);
    const suites = known.filter((suite) => positionals.length === 0 || positionals.includes(suite));
    return { smoke: values.smoke, suites };
  } catch (error) {
    throw new Error(`${(error as Error).message}\n${usage}`, { cause: error });
  }
}
