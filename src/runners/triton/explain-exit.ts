/** Its usage alone, after what it has against a flag, is of 400 lines. */
export const LINES_TO_EXPLAIN = 500;

/** Why Triton does not come up, whatever the host is like. Wordings of `tritonserver`, read off 2.57 (25.04). */
const FINAL = [
  /^tritonserver: (?:unrecognized option|option .* (?:requires an argument|is ambiguous|doesn't allow an argument))/,
  /^Bad option: /,
  /^error: creating server: Internal - failed to stat file /,
  /^error: creating server: Invalid argument - /,
];

/** The line that names such a cause; `undefined` where there is none. */
export function finalCause(lines: readonly string[]): string | undefined {
  const at = lines.findLastIndex((line) => FINAL.some((words) => words.test(line)));
  const line = lines[at];
  // The value that is at fault stands below the option.
  return line?.startsWith('Bad option') ? `${line} ${lines[at + 1] ?? ''}`.trim() : line;
}
