import { Inject, Injectable } from '@nestjs/common';
import { performance } from 'node:perf_hooks';
import { DeadlineError, within } from '../../common/deadline.js';
import { DomainError, messageOf } from '../../common/errors.js';
import { LOGGER, type Logger } from '../../common/logging/logger.js';
import { pause } from '../../common/pause.js';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/schema.js';
import type { Runner } from '../../runners/runner.js';
import type { RemovalManner, Unneeded } from '../../runners/unneeded.js';
import { Catalog } from '../deployment/catalog.js';

/** Time, ms, until what is still there is tried again. */
const RETRY_MS = 200;
/** Share of server.shutdown_timeout_seconds for ending by force what did not end by itself; the rest is for closing. */
const FORCE_SHARE = 0.5;

/** The service ends, was to stop its servers, and could not stop all. */
export class ServersLeftError extends DomainError {
  readonly code = 'SERVERS_LEFT';
  readonly kind = 'internal';
}

/** What is still there, and why. */
interface Rest {
  readonly servers: readonly Unneeded[];
  readonly trouble: string | undefined;
}

/**
 * `shutdown.policy`: whether this service takes its servers with it. What was wanted stays wanted on disk, so that the
 * next run of the service starts it again.
 */
@Injectable()
export class ServerShutdown {
  /** Why the service may not call its end a success. */
  failure: ServersLeftError | undefined;

  constructor(
    private readonly catalog: Catalog,
    @Inject(CONFIG) private readonly config: Pick<Config, 'server' | 'shutdown'>,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** The servers end with the service. */
  get stopsServers(): boolean {
    return this.config.shutdown.policy === 'stop';
  }

  /**
   * Once `letGo` has resolved, and nobody works on the servers any more: stops them all where the policy says so, and
   * makes sure that none is left. Politely first; by force what is left after `shutdown.stop_timeout_seconds`. What is
   * left even so is in `failure`: a hook's rejection would go no further than the framework's log.
   */
  async run(letGo: () => Promise<unknown>): Promise<void> {
    const { stop_timeout_seconds: limitSeconds } = this.config.shutdown;
    const begun = performance.now();
    await letGo();
    if (!this.stopsServers) return;
    const late = await this.stopAll('polite', limitSeconds * 1000 - (performance.now() - begun));
    if (!late) return;
    this.logger.error(
      { servers: late.servers, trouble: late.trouble },
      `Not every server ended within ${limitSeconds} s (shutdown.stop_timeout_seconds): what is left is ended by force`,
    );
    const forceMs = this.config.server.shutdown_timeout_seconds * 1000 * FORCE_SHARE;
    const left = await this.stopAll('force', forceMs);
    if (left) this.failure = leftError(left);
  }

  /** `undefined`: nothing is left, by the word of every launcher. */
  private async stopAll(manner: RemovalManner, limitMs: number): Promise<Rest | undefined> {
    let rest: Rest = { servers: [], trouble: undefined };
    const untilGone = async (signal: AbortSignal): Promise<void> => {
      for (;;) {
        try {
          const servers = await this.find(signal);
          if (servers.length === 0) return;
          rest = { ...rest, servers: servers.map(([, server]) => server) };
          const ends = await Promise.allSettled(servers.map((each) => this.stop(each, manner, signal)));
          const failure = ends.find((end) => end.status === 'rejected');
          rest = { ...rest, trouble: failure && messageOf(failure.reason) };
          if (!failure) continue;
        } catch (error) {
          signal.throwIfAborted();
          rest = { ...rest, trouble: messageOf(error) };
        }
        await pause(RETRY_MS, signal);
      }
    };
    try {
      await within({ ms: limitMs }, untilGone);
      return undefined;
    } catch (error) {
      if (error instanceof DeadlineError) return rest;
      throw error;
    }
  }

  /** With nothing needed any more, every server is unneeded. */
  private async find(signal: AbortSignal): Promise<(readonly [Runner, Unneeded])[]> {
    const found = await Promise.all(
      this.catalog.allRunners.map(async (runner) => {
        const servers = await runner.findUnneeded([], signal);
        return servers.map((server) => [runner, server] as const);
      }),
    );
    return found.flat();
  }

  private async stop(
    [runner, server]: readonly [Runner, Unneeded],
    manner: RemovalManner,
    signal: AbortSignal,
  ): Promise<void> {
    const wasThere = await runner.removeUnneeded(server, () => [], manner, signal);
    if (!wasThere) return;
    this.logger.info(
      { server: server.serverName, pid: server.pid, manner },
      'A server was stopped with this service',
    );
  }
}

function leftError({ servers, trouble }: Rest): ServersLeftError {
  const names = servers.map(
    ({ serverName, pid }) => `${serverName}${pid === null ? '' : ` (process ${pid})`}`,
  );
  const what =
    names.length > 0 ? `${names.join(', ')} still there` : 'whether servers are still there is not known';
  const why = trouble === undefined ? '' : `: ${trouble}`;
  return new ServersLeftError(
    `Not every server could be stopped with this service, ${what}${why}. End them by hand, or start this service again.`,
    { servers: names },
  );
}
