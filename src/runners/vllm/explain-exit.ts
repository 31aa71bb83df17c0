import { inOrder } from '../../common/in-order.js';
import { isLastingCause } from '../lasting-cause.js';

/**
 * What vLLM puts before a line: `(EngineCore pid=12) ERROR 11-25 08:33:15 [core.py:1510] `, or the first part alone. Of
 * what it only warns of, it did not die.
 */
const PREFIX = /^(?:\([\w ]+ pid=\d+\) )?(?:(?:ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d \[[^\]]*\] )?/;
/** What argparse has against the flags. */
const USAGE = /^vllm(?: serve)?: error: /;
/** The name of an exception; what it says follows a colon. */
const ERROR = [/^[A-Za-z_][\w.]*(?:Error|Exception)\b/, /: \S/] as const;
/** Says only that the cause stands above. */
const SECOND_HAND = 'RuntimeError: Engine core initialization failed';
/** The cause goes on in the next line that is not empty. */
const NEEDS_NEXT_LINE =
  /(?:validation errors? for \w+|gated repo\.|Client Error\.(?: \(Request ID: [^()]*\))?|:)$/;
const MAX_LENGTH = 600;

/** Lines from the cause to the end of the log: each process of vLLM adds its own traceback. */
export const LINES_TO_EXPLAIN = 200;

/** What is wrong with the model or its settings, whatever the host is like. Wordings of vLLM 0.32.0, and of what it uses. */
const UNFIT = [
  ...[
    /Invalid repository ID or local directory specified/,
    /No supported config format found/,
    /Could not detect config format/,
    /Cannot find any model weights with/,
  ],
  // huggingface_hub. What it says when it reaches no hub is none of these, unless it was told not to ask.
  ...[
    /Repo id must (?:be|use) /,
    /Cannot have -- or \.\. in repo_id/,
    /\b(?:HFValidation|RepositoryNotFound|RevisionNotFound|GatedRepo|DisabledRepo|LocalTokenNotFound)Error\b/,
    /Client error '401 Unauthorized'|\b401 Client Error/,
    /Cannot access gated repo/,
    /outgoing traffic has been disabled/,
    /offline mode is enabled/,
  ],
  // transformers.
  ...[
    /is not a local folder (?:and is not a valid model identifier|or a valid repository name)/,
    /You are trying to access a gated repo|is a gated repository/,
    /is not a valid git identifier/,
    /does not recognize this architecture/,
    /does not appear to have (?:a file|files) named/,
    /Couldn't instantiate the backend tokenizer/,
  ],
  /Unknown quantization method/,
];

/** The same, with a path, a name or a number between the words. */
const UNFIT_IN_PARTS = [
  ["VLLM_PORT '", /' (?:appears to be a URI|must be a valid integer)/],
  ['The supplied chat template string ', " appears path-like, but doesn't exist"],
  // A link to a file that has expired is 403, too, and the next is good.
  [/\b403\b/, /\b(?:gated|is restricted)\b/],
  ['It looks like the config file at ', ' is not a valid JSON file'],
  ['User-specified max_model_len ', ' is greater than the derived'],
  ['Total number of attention heads ', ' must be divisible by tensor parallel size'],
  ['Model architectures ', ' are not supported for now'],
] as const;

/** The last line of the last traceback that names a cause, or what argparse says; `undefined` where there is none. */
export function explainExit(lines: readonly string[]): string | undefined {
  const bare = lines.map((line) => line.replace(PREFIX, ''));
  const at = bare.findLastIndex(
    (line) => (inOrder(line, ...ERROR) || USAGE.test(line)) && !line.startsWith(SECOND_HAND),
  );
  const line = bare[at] ?? bare.findLast((each) => each.startsWith(SECOND_HAND));
  if (line === undefined) return undefined;
  const next = bare.slice(at + 1).find((each) => each.trim() !== '') ?? '';
  const text = NEEDS_NEXT_LINE.test(line.trimEnd()) ? `${line} ${next.trim()}` : line;
  return text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…` : text;
}

/** Of this cause: the next server would end so, too. */
export function isFinal(cause: string): boolean {
  return USAGE.test(cause) || isLastingCause(cause) || isUnfit(cause);
}

function isUnfit(cause: string): boolean {
  return UNFIT.some((words) => words.test(cause)) || UNFIT_IN_PARTS.some((parts) => inOrder(cause, ...parts));
}
