import { isLastingCause } from '../lasting-cause.js';

/** What argparse has against the arguments: `server.py: error: unrecognized arguments: --x`. */
const USAGE =
  /^\S+(?: \S+)?: error: (?:unrecognized arguments|argument |the following arguments are required|invalid choice)/;
/** What llama.cpp has against them. */
const INVALID_ARGUMENT = /^error: (?:invalid argument|unknown argument)/;
const EXCEPTION = /^[A-Za-z_][\w.]*(?:Error|Exception): \S/;

/** The exception of a Python program, or what a program has against its arguments; `undefined`: the last line is all. */
export function explainExit(lines: readonly string[]): string | undefined {
  return lines.findLast((line) => isUsage(line) || EXCEPTION.test(line));
}

/** Of this cause: the next server would end so, too. */
export function isFinal(cause: string): boolean {
  return isUsage(cause) || isLastingCause(cause);
}

function isUsage(line: string): boolean {
  return USAGE.test(line) || INVALID_ARGUMENT.test(line);
}
