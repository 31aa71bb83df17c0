import { isLastingCause } from '../lasting-cause.js';

/** A line of Python's traceback; of a long one, the last lines of a log lack the first. */
const TRACEBACK = /^(Traceback \(most recent call last\):$| {2}File ")/;
/** What ComfyUI logs when it went on after a traceback: a custom node that cannot be imported, a prompt that failed. */
const WENT_ON =
  /^(Cannot import |Import times for custom nodes|Starting server|To see the GUI|got prompt|Prompt executed)/;

const USAGE = 'main.py: error: ';
/** Of packages that it looks for itself, ComfyUI says that one is missing without a traceback, and ends with -1. */
const PACKAGE_MISSING =
  /^(comfyui-frontend-package is not installed|To use the `--use-[a-z]+-attention` feature, the `[\w-]+` package must be installed first)\./;
const WITHOUT_CUDA = 'AssertionError: Torch not compiled with CUDA enabled';

/** From the exception to the end of the log: NumPy's explains itself at length. */
export const LINES_TO_EXPLAIN = 60;

/**
 * The cause of an end in the last lines of a log: the exception at the end of Python's traceback, what argparse has
 * against the flags, or which package ComfyUI says is missing. `undefined` where none was the last thing that happened.
 */
export function lastWords(lines: readonly string[]): string | undefined {
  const own = lines.findLastIndex((line) => isOwnWord(line));
  const from = lines.findLastIndex((line) => TRACEBACK.test(line));
  if (own > from) return lines[own];
  const after = lines.slice(from + 1);
  if (from === -1 || after.some((line) => WENT_ON.test(line))) return undefined;
  return after.find((line) => /^\S/.test(line));
}

/** Of these words: the next ComfyUI would end so, too. */
export function isFinal(words: string): boolean {
  return isOwnWord(words) || words.startsWith(WITHOUT_CUDA) || isLastingCause(words);
}

/** What ComfyUI ends with of its own accord. */
function isOwnWord(line: string): boolean {
  return line.startsWith(USAGE) || PACKAGE_MISSING.test(line);
}
