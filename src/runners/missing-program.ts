import { inOrder } from '../common/in-order.js';

/** What interpreters say last when the file or module that they are to run is not there. The sample is in the test. */
const NOT_THERE = [
  /python[\d.]*: No module named \S/,
  /python[\d.]*: Error while finding module specification for /,
  /: can't find '__main__' module in /,
  /^(?:\S*\/)?(?:ba|da|k|z|a)?sh: (?:\d+: )?(?:cannot|can't) open /,
  /^Can't open perl script "/,
  /^Error: Unable to access jarfile /,
  /^Error(?: \[ERR_MODULE_NOT_FOUND\])?: Cannot find (?:module|package) '/,
];
const CANNOT_OPEN = [": can't open file '", /': \[Errno \d+\] /] as const;
/** What may follow that: the trace of Node.js. */
const TRACE = /^(?:\s|$|\}|Require stack:|- |Did you mean|Node\.js v)/;

/** Of a shell, and of `env` and its like: what it was to run is no program that can run, or is not there. */
const SHELL_CODES = [126, 127];
const SHELL_WORDS =
  /not found|no such file|permission denied|is a directory|cannot execute|exec format error|cannot open shared object/i;
/** Libraries that come with the driver may be there the next time. */
const MAY_PASS = /libcuda\.so|libnvidia/;

/**
 * The line that says that a server ended because its program, or the file that an interpreter was to run, is not there: the next
 * one would end so, too. `undefined` where the last lines say something else.
 */
export function missingProgram(lines: readonly string[], exitCode: number | null): string | undefined {
  const line = lines.findLast((each) => !TRACE.test(each));
  if (line === undefined) return undefined;
  if (inOrder(line, ...CANNOT_OPEN) || NOT_THERE.some((words) => words.test(line))) return line;
  const isOfShell = exitCode !== null && SHELL_CODES.includes(exitCode);
  return isOfShell && SHELL_WORDS.test(line) && !MAY_PASS.test(line) ? line : undefined;
}
