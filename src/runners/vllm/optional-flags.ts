import { ServerLostError } from '../errors.js';

/**
 * Flags that earlier versions of vLLM do not have (source: its releases). Load tracking counts a request from its arrival
 * on, while the metrics leave out what is in its first step; with a shutdown timeout, requests under way are finished.
 */
export const OPTIONAL_FLAGS = ['--enable-server-load-tracking', '--shutdown-timeout'] as const;

type OptionalFlag = (typeof OPTIONAL_FLAGS)[number];

/** What vLLM needs of the grace of its stop to end its processes, s, once the requests are finished. */
const TEARDOWN_SECONDS = 5;

/** argparse names all flags that it does not know on one line. */
const REFUSAL = /unrecognized argument|unknown option|no such option/i;

/**
 * The optional flags of one installation. It is taken to have them, until it refuses one as it is launched: it names the
 * flag then, and ends at once.
 */
export class OptionalFlags {
  private readonly refused = new Set<OptionalFlag>();

  /** Those that the installation has, for a server with this time, s, between the polite signal and SIGKILL. */
  argsFor(stopGraceSeconds: number): string[] {
    const seconds = Math.floor(stopGraceSeconds - TEARDOWN_SECONDS);
    return [
      ...(this.has('--enable-server-load-tracking') ? ['--enable-server-load-tracking'] : []),
      ...(this.has('--shutdown-timeout') && seconds > 0 ? ['--shutdown-timeout', String(seconds)] : []),
    ];
  }

  /** Whether a server ended because of one of these flags. It is left out from the next launch on. */
  learnFrom(error: unknown): boolean {
    if (!(error instanceof ServerLostError)) return false;
    const { log } = error.facts;
    const lines = [error.message, ...(Array.isArray(log) ? log.map(String) : [])];
    const refusals = lines.filter((line) => REFUSAL.test(line)).join('\n');
    const named = OPTIONAL_FLAGS.filter((flag) => refusals.includes(flag));
    for (const flag of named) this.refused.add(flag);
    return named.length > 0;
  }

  private has(flag: OptionalFlag): boolean {
    return !this.refused.has(flag);
  }
}
