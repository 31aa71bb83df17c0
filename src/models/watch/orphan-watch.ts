import { type BeforeApplicationShutdown, Inject, Injectable } from '@nestjs/common';
import { Interval } from '@nestjs/schedule';
import { Clock } from '../../common/clock.js';
import { LOGGER, type Logger } from '../../common/logging/logger.js';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/schema.js';
import { Catalog } from '../deployment/catalog.js';
import type { Runner } from '../../runners/runner.js';
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
  private readonly backends = new Map<Runner, BackendOrphans>();
  private readonly ending = new AbortController();
  private readonly looks = new Set<Promise<void>>();
  /** Monotonic ms of the next look for backends that the configuration does not offer any more. */
  private formerDue = 0;

  constructor(
    private readonly catalog: Catalog,
    private readonly supervisor: Supervisor,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Those that are known now. Never waits. */
  list(): Orphan[] {
    return [...this.backends.values()].flatMap((backend) => backend.list());
  }

  @Interval(TICK_MS)
  tick(): void {
    if (!this.supervisor.isReady) return;
    const { signal } = this.ending;
    const now = this.clock.monotonicMs();
    if (now >= this.formerDue) {
      this.formerDue = now + this.config.orphans.interval_seconds * 1000;
      this.keep(this.catalog.lookForFormer(signal));
    }
    for (const runner of this.catalog.allRunners) this.keep(this.of(runner).tick(signal));
  }

  private keep(work: Promise<void>): void {
    const look = work
      .catch((error: unknown) => {
        if (!this.ending.signal.aborted) this.logger.error({ err: error }, 'The look for orphans failed');
      })
      .finally(() => this.looks.delete(look));
    this.looks.add(look);
  }

  private of(runner: Runner): BackendOrphans {
    const { clock, logger, supervisor } = this;
    const existing = this.backends.get(runner);
    if (existing) return existing;
    const backend = new BackendOrphans(runner, {
      clock,
      logger,
      config: this.config.orphans,
      needed: () => supervisor.needed(runner.backend),
      isAdopting: () => supervisor.isAdopting(runner.backend),
    });
    this.backends.set(runner, backend);
    return backend;
  }

  /** A removal under way is broken off; the next run of the service finds what is left. */
  async beforeApplicationShutdown(): Promise<void> {
    this.ending.abort(new Error('this service is shutting down'));
    await Promise.all(this.looks);
  }
}
