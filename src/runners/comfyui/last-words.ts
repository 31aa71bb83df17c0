/** A line of Python's traceback; of a long one, the last lines of a log lack the first. */
const TRACEBACK = /^(Traceback \(most recent call last\):$| {2}File ")/;
/** What ComfyUI logs when it went on after a traceback: a custom node that cannot be imported, a prompt that failed. */
const WENT_ON =
  /^(Cannot import |Import times for custom nodes|Starting server|To see the GUI|got prompt|Prompt executed)/;

/**
 * The cause of an end in the last lines of a log: the exception at the end of Python's traceback, or what argparse has
 * against the flags. `undefined` where neither was the last thing that happened.
 */
export function lastWords(lines: readonly string[]): string | undefined {
  const usage = lines.findLast((line) => line.startsWith('main.py: error: '));
  const from = lines.findLastIndex((line) => TRACEBACK.test(line));
  if (from === -1) return usage;
  const after = lines.slice(from + 1);
  if (after.some((line) => WENT_ON.test(line))) return usage;
  return after.find((line) => /^\S/.test(line)) ?? usage;
}
