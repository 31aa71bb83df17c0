import { type BeforeApplicationShutdown, Inject, Injectable } from '@nestjs/common';
import { Interval } from '@nestjs/schedule';
import { Clock } from '../../common/clock.js';
import { within } from '../../common/deadline.js';
import { LOGGER, type Logger } from '../../common/logging/logger.js';
import { Deployments } from '../supervisor/deployments.js';
import type { ServerRun } from '../worker/renewals.js';
import type { UnitWorker } from '../worker/unit-worker.js';
import { WorkerServices } from '../worker/worker-services.js';

const TICK_MS = 1000;
/** Time, ms, without a request, after which a server is taken to be idle. */
const QUIET_MS = 3000;
/** Time, ms, of a backend to tell of its requests. */
const ASK_TIMEOUT_MS = 2000;

/** A server without requests, as it was first seen so. */
interface Quiet {
  /** Requests it had finished until then. */
  readonly finished: number;
  readonly sinceMs: number;
}

/**
 * Has servers started anew that hold on to memory (`recycle_held_mb`), when nothing is loaded into them or taken out, all
 * that they serve is RUNNING and in the configuration, and no request has waited or been finished for a while.
 */
@Injectable()
export class RenewalWatch implements BeforeApplicationShutdown {
  private readonly quiet = new Map<string, Quiet>();
  private look: Promise<void> | undefined;

  constructor(
    private readonly deployments: Deployments,
    private readonly services: WorkerServices,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** Waits for nothing; one look at a time. */
  @Interval(TICK_MS)
  tick(): void {
    if (this.look || this.services.renewals.runs.length === 0) return;
    this.look = this.lookAtAll()
      .catch((error: unknown) => {
        this.logger.error({ err: error }, 'Servers that hold on to memory cannot be looked at');
      })
      .finally(() => {
        this.look = undefined;
      });
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.look;
  }

  private async lookAtAll(): Promise<void> {
    for (const run of this.services.renewals.runs) await this.lookAt(run);
  }

  private async lookAt(run: ServerRun): Promise<void> {
    const { name: server } = run;
    const [leader] = this.workersOn(server);
    if (!leader || this.isReplaced(run)) {
      this.done(run);
      return;
    }
    const finished = this.isSettled(server) ? await this.finishedBy(server) : undefined;
    const now = this.clock.monotonicMs();
    const before = this.quiet.get(server);
    if (finished === undefined) this.quiet.delete(server);
    else if (before?.finished !== finished) this.quiet.set(server, { finished, sinceMs: now });
    else if (now - before.sinceMs >= QUIET_MS) {
      leader.renew({
        isQuiet: () => this.isSettled(server) && !this.isReplaced(run),
        onEnded: () => {
          this.done(run);
        },
      });
    }
  }

  private done(run: ServerRun): void {
    this.services.renewals.done(run);
    this.quiet.delete(run.name);
  }

  /** Another run serves by now. */
  private isReplaced({ name, pid }: ServerRun): boolean {
    const placements = this.workersOn(name).flatMap(({ unit }) => unit.active());
    return placements.some((placement) => placement.pid !== null && placement.pid !== pid);
  }

  /** A model that the configuration has no more would not come back. */
  private isSettled(server: string): boolean {
    return this.workersOn(server).every(({ isSettled, unit }) => isSettled && unit.deployment.inCatalog);
  }

  private workersOn(server: string): UnitWorker[] {
    return this.deployments.all
      .flatMap(({ all }) => all)
      .filter(({ unit }) => {
        const [gpuId] = unit.occupied();
        return gpuId !== undefined && unit.deployment.runner.serverNameOf(unit.modelName, gpuId) === server;
      });
  }

  /** Requests that the server's models have finished; `undefined`: some wait, or nobody can tell. */
  private async finishedBy(server: string): Promise<number | undefined> {
    try {
      const loads = await within({ ms: ASK_TIMEOUT_MS }, (signal) =>
        Promise.all(
          this.workersOn(server).map(async ({ unit }) => {
            const deployment = unit.wanted();
            return unit.deployment.runner.workload({ ...deployment, gpuIds: [] }, deployment.gpuIds, signal);
          }),
        ),
      );
      const told = loads.flatMap((load) => load ?? []);
      if (told.length === 0 || told.some(({ open }) => open > 0)) return undefined;
      return told.reduce((sum, { finished }) => sum + finished, 0);
    } catch {
      return undefined; // nobody can tell
    }
  }
}
