/** Most output that is read for a tail, bytes; of more, the last part counts. */
export const MAX_TAIL_BYTES = 256 * 1024;
/** Most lines that are read for a tail. */
export const MAX_TAIL_LINES = 2000;
/** Longest line that is kept, characters: a progress bar without line ends must not fill an error message. */
const MAX_LINE_LENGTH = 4096;

const ESC = '\u001B';
const CSI = '\u009B';
const BEL = '\u0007';
const ST = '\u009C';

/**
 * Control sequences of ECMA-48, in linear time whatever the text is: no part of one takes what may begin the next. Of one that
 * does not end, the beginning alone goes. Not `stripVTControlCharacters`: its expression takes cubic time, and a server may
 * write what it likes.
 */
const SEQUENCE = new RegExp(
  [
    `(?:${ESC}\\[|${CSI})[0-?]*[ -/]*[@-~]`,
    // Of a command for the terminal's own use (a title, a link), all up to its end on the same line.
    `${ESC}[\\]PX^_][^${ESC}${BEL}${ST}\\r\\n]*(?:${BEL}|${ESC}\\\\|${ST})`,
    `${ESC}[ -/]*[0-~]`,
    `[${ESC}${CSI}]`,
  ].join('|'),
  'g',
);

/** The last `count` lines of a server's output as a person reads them: no escape sequences, no overwritten text. */
export function lastLines(output: string, count: number): readonly string[] {
  if (count <= 0) return [];
  const lines = output.slice(-MAX_TAIL_BYTES).split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  return lines.slice(-count).map((line) => {
    // A carriage return starts the line anew, as progress bars do: what was written last is what counts.
    const written =
      line
        .replace(SEQUENCE, '')
        .split('\r')
        .findLast((part) => part !== '') ?? '';
    return written.length > MAX_LINE_LENGTH ? `${written.slice(0, MAX_LINE_LENGTH)}…` : written;
  });
}
