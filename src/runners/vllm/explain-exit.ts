/** What vLLM puts before a line: `(EngineCore pid=12) ERROR 11-25 08:33:15 [core.py:1510] `, or the first part alone. */
const PREFIX = /^(?:\([\w ]+ pid=\d+\) )?(?:[A-Z]+ \d\d-\d\d \d\d:\d\d:\d\d \[[^\]]*\] )?/;
const ERROR = /^[A-Za-z_][\w.]*(?:Error|Exception)\b.*: \S/;
/** Says only that the cause stands above. */
const SECOND_HAND = 'RuntimeError: Engine core initialization failed';
const NEEDS_NEXT_LINE = /validation errors? for \w+$/;
const MAX_LENGTH = 600;

/** Lines from the cause to the end of the log: each process of vLLM adds its own traceback. */
export const LINES_TO_EXPLAIN = 200;

/** The last line of the last traceback that names a cause; `undefined` where there is none. */
export function explainExit(lines: readonly string[]): string | undefined {
  const bare = lines.map((line) => line.replace(PREFIX, ''));
  const at = bare.findLastIndex((line) => ERROR.test(line) && !line.startsWith(SECOND_HAND));
  const line = bare[at] ?? bare.findLast((each) => each.startsWith(SECOND_HAND));
  if (line === undefined) return undefined;
  const next = NEEDS_NEXT_LINE.test(line) ? ` ${(bare[at + 1] ?? '').trim()}` : '';
  const text = `${line}${next}`;
  return text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…` : text;
}
