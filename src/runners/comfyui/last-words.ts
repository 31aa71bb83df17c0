import { isFailedImport } from '../failed-import.js';

/** A line of Python's traceback; of a long one, the last lines of a log lack the first. */
const TRACEBACK = /^(Traceback \(most recent call last\):$| {2}File ")/;
/** What ComfyUI logs when it went on after a traceback: a custom node that cannot be imported, a prompt that failed. */
const WENT_ON =
  /^(Cannot import |Import times for custom nodes|Starting server|To see the GUI|got prompt|Prompt executed)/;

const USAGE = 'main.py: error: ';
const WITHOUT_CUDA = 'AssertionError: Torch not compiled with CUDA enabled';

/** From the exception to the end of the log: NumPy's explains itself at length. */
export const LINES_TO_EXPLAIN = 60;

/**
 * The cause of an end in the last lines of a log: the exception at the end of Python's traceback, or what argparse has
 * against the flags. `undefined` where neither was the last thing that happened.
 */
export function lastWords(lines: readonly string[]): string | undefined {
  const usage = lines.findLast((line) => line.startsWith(USAGE));
  const from = lines.findLastIndex((line) => TRACEBACK.test(line));
  if (from === -1) return usage;
  const after = lines.slice(from + 1);
  if (after.some((line) => WENT_ON.test(line))) return usage;
  return after.find((line) => /^\S/.test(line)) ?? usage;
}

/** Of these words: the next ComfyUI would end so, too. */
export function isFinal(words: string): boolean {
  return words.startsWith(USAGE) || words.startsWith(WITHOUT_CUDA) || isFailedImport(words);
}
