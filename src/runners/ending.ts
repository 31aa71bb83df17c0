import type { ServerInfo } from '../launchers/launcher.js';

/** Exit codes of signals: 128 and the number of the signal. Above is a program's own, too: 255 is Python's `exit(-1)`. */
const SIGNALS = { above: 128, last: 128 + 64 };

/** How a server ended. */
export interface Ending {
  readonly sentence: string;
  readonly exitCode: number | null;
  readonly isFinal: boolean;
  readonly log: readonly string[];
  /** Nothing has ended: it is not there, or was never launched. */
  readonly isUnknown?: true;
}

/** In one sentence, without its last words. */
export function endOf(
  name: string,
  { exitCode, reason }: Pick<ServerInfo, 'exitCode' | 'reason'>,
): Pick<Ending, 'sentence' | 'exitCode'> {
  const code = exitCode === null ? '' : ` with exit code ${exitCode}`;
  const words = reason === undefined ? '' : ` (${reason})`;
  return { sentence: `${name} ended${code}${words}`, exitCode };
}

/** The log of one that was killed tells nothing of its end. */
export function endedByItself({ exitCode }: ServerInfo): boolean {
  if (exitCode === null || exitCode <= 0) return false;
  return exitCode <= SIGNALS.above || exitCode > SIGNALS.last;
}

/** What a placement is whose server ended so. */
export function absentAfter({ sentence, log, isUnknown }: Ending): {
  phase: 'absent';
  reason: string;
  lastLines?: readonly string[];
} {
  return { phase: 'absent', reason: sentence, ...(isUnknown !== true && { lastLines: log }) };
}
