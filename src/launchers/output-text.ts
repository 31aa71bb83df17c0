import { stripVTControlCharacters } from 'node:util';

/** Most output that is read for a tail, bytes. */
export const MAX_TAIL_BYTES = 256 * 1024;
/** Most lines that are read for a tail. */
export const MAX_TAIL_LINES = 2000;
/** Longest line that is kept, characters: a progress bar without line ends must not fill an error message. */
const MAX_LINE_LENGTH = 4096;

/** The last `count` lines of a server's output as a person reads them: no escape sequences, no overwritten text. */
export function lastLines(output: string, count: number): readonly string[] {
  if (count <= 0) return [];
  const lines = stripVTControlCharacters(output).split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  return lines.slice(-count).map((line) => {
    // A carriage return starts the line anew, as progress bars do: what was written last is what counts.
    const written = line.split('\r').findLast((part) => part !== '') ?? '';
    return written.length > MAX_LINE_LENGTH ? `${written.slice(0, MAX_LINE_LENGTH)}…` : written;
  });
}
