import { type BeforeApplicationShutdown, Inject, Injectable } from '@nestjs/common';
import { Interval } from '@nestjs/schedule';
import { Clock } from '../../common/clock.js';
import { LOGGER, type Logger } from '../../common/logging/logger.js';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/schema.js';
import { Catalog } from '../deployment/catalog.js';
import { Supervisor } from '../supervisor/supervisor.js';
import { BackendOrphans } from './backend-orphans.js';
import type { Orphan } from './backend-orphans.js';

const TICK_MS = 250;

/**
 * Looks for orphans, from the boot on: servers under this service's label that nobody wants (the state was lost, an
 * earlier run has crashed, the configuration has changed), and models that nobody wants in servers that others do. A
 * tick waits for none of the looks that it hands out, so that one hung backend delays nobody else.
 */
@Injectable()
export class OrphanWatch implements BeforeApplicationShutdown {
  private readonly backends: readonly BackendOrphans[];
  private readonly ending = new AbortController();
  private readonly looks = new Set<Promise<void>>();

  constructor(
    catalog: Catalog,
    private readonly supervisor: Supervisor,
    @Inject(Clock) clock: Clock,
    @Inject(CONFIG) config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {
    this.backends = catalog.allRunners.map(
      (runner) =>
        new BackendOrphans(runner, {
          clock,
          logger,
          config: config.orphans,
          needed: () => supervisor.needed(runner.backend),
          isAdopting: () => supervisor.isAdopting(runner.backend),
        }),
    );
  }

  /** Those that are known now. Never waits. */
  list(): Orphan[] {
    return this.backends.flatMap((backend) => backend.list());
  }

  @Interval(TICK_MS)
  tick(): void {
    if (!this.supervisor.isReady) return;
    for (const backend of this.backends) {
      const look = backend
        .tick(this.ending.signal)
        .catch((error: unknown) => {
          this.logger.error({ err: error }, 'The look for orphans failed');
        })
        .finally(() => this.looks.delete(look));
      this.looks.add(look);
    }
  }

  /** A removal under way is broken off; the next run of the service finds what is left. */
  async beforeApplicationShutdown(): Promise<void> {
    this.ending.abort(new Error('this service is shutting down'));
    await Promise.all(this.looks);
  }
}
