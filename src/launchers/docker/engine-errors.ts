import { inSeconds } from '../../common/deadline.js';
import { DomainError, messageOf, systemCodeOf } from '../../common/errors.js';
import { EngineUnavailableError } from '../launcher.js';

/** The Engine did not answer in time. Not a DeadlineError: that is the caller's, and tells nothing of the Engine. */
export class NoAnswerError extends Error {
  constructor(limitMs: number) {
    super(`no answer within ${inSeconds(limitMs)}`);
    this.name = 'NoAnswerError';
  }
}

/** HTTP status of an answer of the Engine that was an error; `undefined` for anything that was no answer. */
export function statusOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('statusCode' in error)) return undefined;
  return typeof error.statusCode === 'number' ? error.statusCode : undefined;
}

/** Longest words of the Engine that are looked at, characters: a program's name or a path may be in them. */
const MAX_WORDS = 4096;

/** The Engine's own words, without what docker-modem puts before them. */
export function engineWords(error: unknown): string {
  return messageOf(error)
    .slice(0, MAX_WORDS)
    .replace(/^\(HTTP code \d+\) .*? - /s, '')
    .trim();
}

const START_IT = 'start it (`systemctl start docker`), or correct launchers.docker.socket_path';

function causeAndRemedy(error: unknown): string {
  if (error instanceof NoAnswerError) {
    return `${error.message}: the daemon hangs or is overloaded; see \`journalctl -u docker\``;
  }
  const code = systemCodeOf(error);
  switch (code) {
    case 'ENOENT':
      return `there is no such socket (ENOENT): the daemon is not running; ${START_IT}`;
    case 'ECONNREFUSED':
      return `connection refused (ECONNREFUSED): the daemon is not running; ${START_IT}`;
    case 'EACCES':
    case 'EPERM':
      return `permission denied (${code}): add the user of this service to the group that owns the socket (\`usermod -aG docker …\`), and start the service again`;
    default:
      return `${messageOf(error)}${code === undefined ? '' : ` (${code})`}: the daemon broke off; see \`journalctl -u docker\``;
  }
}

/**
 * What a failed call of the Engine means: an EngineUnavailableError when there was no answer, else the error as it is.
 */
export function asEngineError(error: unknown, socketPath: string): unknown {
  // Has a code as well, of another kind.
  if (error instanceof DomainError) return error;
  const unanswered = error instanceof NoAnswerError || systemCodeOf(error) !== undefined;
  if (!unanswered || statusOf(error) !== undefined) return error;
  return new EngineUnavailableError(
    `Cannot connect to the Docker daemon at ${socketPath}: ${causeAndRemedy(error)}`,
    { socketPath, cause: messageOf(error) },
    { cause: error },
  );
}
