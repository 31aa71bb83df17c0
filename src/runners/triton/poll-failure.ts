import { pollUntil, within } from '../../common/deadline.js';
import type { TritonServer } from './triton-server.js';

/** Lines of the log to look through: other models write into it, too. */
const LINES = 400;
/** Time, ms, of a line to get from Triton into the log, and between two looks. */
const WRITTEN_WITHIN_MS = 1000;
const LOOK_MS = 50;

/** A line of Triton's log that tells why a model's directory cannot be used. */
export interface PollFailure {
  /** The line as it stands: its time makes it another than that of an earlier load. */
  readonly line: string;
  /** What it says, without time and place. */
  readonly words: string;
}

/** From its first words on, which a quote may precede, and then the model. */
const FAILURE = /"?(?:Poll failed for model directory|failed to poll model) '/;
const MODEL = /^(?<quote>"?)(?<words>[^']*'(?<model>[^']*)': .*)$/s;
/** Written by a library, just before the failure that it is the cause of; names no model. */
const PARSER = /^\[libprotobuf ERROR .*?\] (?<words>Error parsing text-format .*)$/s;

/**
 * The last line on this model. To the load itself, Triton answers no more than "failed to poll from model repository".
 * Source: lines of Triton's own binary, see `test/runners/triton/poll-failure.spec.ts`.
 */
export function pollFailureIn(log: readonly string[], model: string): PollFailure | undefined {
  const failures = log.flatMap((line, index): PollFailure[] => {
    const from = line.search(FAILURE);
    const match = from === -1 ? undefined : MODEL.exec(line.slice(from))?.groups;
    if (match?.model !== model) return [];
    const { words = '', quote } = match;
    const parser = PARSER.exec(log[index - 1] ?? '')?.groups?.words;
    const own = quote ? unquoted(words) : words;
    return [{ line, words: parser !== undefined && own.includes('text proto') ? `${own}: ${parser}` : own }];
  });
  return failures.at(-1);
}

/** Triton quotes the text of a line as JSON does. */
function unquoted(words: string): string {
  const trimmed = words.trimEnd();
  const text = trimmed.endsWith('"') ? trimmed.slice(0, -1) : words;
  try {
    const parsed: unknown = JSON.parse(`"${text}"`);
    return typeof parsed === 'string' ? parsed : text;
  } catch {
    return text; // an older Triton quotes without escapes
  }
}

/** Finds in the log of a server why a load has just failed to poll its model. */
export class PollFailures {
  /** Model → the line that its last failure was told with. */
  private readonly told = new Map<string, string>();

  /** In the words of the log; `undefined`: it does not say, or cannot be read. */
  async causeOf(model: string, server: TritonServer, signal: AbortSignal): Promise<string | undefined> {
    try {
      const failure = await within({ ms: WRITTEN_WITHIN_MS, signal }, (limit) =>
        pollUntil(
          async () => {
            const found = pollFailureIn(await server.lastLines(LINES), model);
            return found?.line === this.told.get(model) ? undefined : found;
          },
          { intervalMs: LOOK_MS, signal: limit },
        ),
      );
      this.told.set(model, failure.line);
      return failure.words;
    } catch {
      return undefined; // the answer of the load is told then
    }
  }
}
