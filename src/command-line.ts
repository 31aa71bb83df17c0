import { parseArgs } from 'node:util';
import { DomainError, messageOf } from './common/errors.js';
import { VERSION } from './version.js';

/** The program was called with arguments that it does not know. */
export class UsageError extends DomainError {
  readonly code = 'USAGE';
  readonly kind = 'invalid';
}

const USAGE = `Usage: node dist/server.js [--check-config | --version | --help]

Without an option, the service starts.

  --check-config  read and check the configuration, say what is wrong, and start nothing
  --version       print the version
  --help          print this

Environment:
  MIC_CONFIG      a YAML file that is laid over config/default.yaml
  MIC_HOST        server.host
  MIC_PORT        server.port
  MIC_STATE_DIR   state.dir
  MIC_LOG_FILE    log.file
`;

/** What the program is called for. */
export type Command =
  { readonly kind: 'serve' | 'check-config' } | { readonly kind: 'print'; readonly text: string };

/** @param args without the program and its script @throws UsageError */
export function commandOf(args: readonly string[]): Command {
  const { help, version, 'check-config': check } = optionsOf(args);
  if (help) return { kind: 'print', text: USAGE };
  if (version) return { kind: 'print', text: `${VERSION}\n` };
  return { kind: check ? 'check-config' : 'serve' };
}

function optionsOf(args: readonly string[]) {
  const flag = { type: 'boolean' } as const;
  try {
    return parseArgs({ args: [...args], options: { help: flag, version: flag, 'check-config': flag } })
      .values;
  } catch (error) {
    throw new UsageError(`${messageOf(error)}\n\n${USAGE}`, {}, { cause: error });
  }
}
