import type { Clock } from '../../common/clock.js';
import { within } from '../../common/deadline.js';
import type { Logger } from '../../common/logging/logger.js';
import type { Config } from '../../config/schema.js';
import type { Runner } from '../../runners/runner.js';
import type { Needed, Unneeded } from '../../runners/unneeded.js';
import type { PlacementError } from '../../state/desired-state.js';
import { toPlacementError } from '../deployment/placement-error.js';

/** What serves, or once did, and nobody wants: a server of this service, or a model in one that stays. */
export interface Orphan {
  readonly backend: string;
  readonly what: Unneeded;
  /** When this run of the service first saw it. */
  readonly since: Date;
  /** When it is removed, unless somebody wants it by then; `null`: it is only reported. */
  readonly removalDue: Date | null;
  /** Why it could not be removed so far. */
  readonly error: PlacementError | undefined;
}

/** Time, ms, of a backend's launcher to say which servers there are. */
const LOOK_TIMEOUT_MS = 10_000;

/** Times in monotonic milliseconds. */
interface Sighting extends Orphan {
  readonly firstSeen: number;
  error: PlacementError | undefined;
}

interface Context {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly config: Config['orphans'];
  /** What of the backend is wanted, or still to be let go of. */
  readonly needed: () => readonly Needed[];
  /** The state was lost, and what runs is not all taken up: nobody knows what is wanted. */
  readonly isAdopting: () => boolean;
}

/** The orphans of one backend: looks for them, and removes those that stay orphans for the grace. */
export class BackendOrphans {
  private readonly sightings = new Map<string, Sighting>();
  private lookNotBefore = 0;
  private isLooking = false;
  private isBlind = false;

  constructor(
    private readonly runner: Runner,
    private readonly context: Context,
  ) {}

  list(): readonly Orphan[] {
    return [...this.sightings.values()];
  }

  /** Looks when it is time to: at the interval, or as soon as a grace is over. One look at a time. */
  async tick(signal: AbortSignal): Promise<void> {
    if (this.isLooking || this.now < this.lookNotBefore || this.context.isAdopting()) return;
    this.isLooking = true;
    try {
      await this.look(signal);
    } finally {
      this.isLooking = false;
      this.lookNotBefore = Math.min(this.now + this.context.config.interval_seconds * 1000, this.nextDue());
    }
  }

  private get now(): number {
    return this.context.clock.monotonicMs();
  }

  private get graceMs(): number {
    return this.context.config.grace_seconds * 1000;
  }

  private async look(signal: AbortSignal): Promise<void> {
    let found: readonly Unneeded[];
    try {
      found = await within({ ms: LOOK_TIMEOUT_MS, signal }, (limit) =>
        this.runner.findUnneeded(this.context.needed(), limit),
      );
    } catch (error) {
      if (!signal.aborted) this.lookFailed(error);
      return; // nothing is concluded
    }
    this.isBlind = false;
    this.compare(found);
    if (this.context.config.policy === 'report') return;
    const due = [...this.sightings].filter(([, { firstSeen }]) => this.now - firstSeen >= this.graceMs);
    await Promise.all(due.map(([key, sighting]) => this.remove(key, sighting, signal)));
  }

  private lookFailed(error: unknown): void {
    const level = this.isBlind ? 'debug' : 'warn';
    this.isBlind = true;
    this.context.logger[level](
      { err: error, model_type: this.runner.backend },
      'Nobody can tell whether there are orphans: none is removed until then',
    );
  }

  private compare(found: readonly Unneeded[]): void {
    const present = new Map(found.map((each) => [keyOf(each), each]));
    for (const [key, { what }] of this.sightings) {
      if (present.has(key)) continue;
      this.sightings.delete(key);
      this.context.logger.info({ orphan: what }, 'An orphan is wanted again, or gone by itself');
    }
    for (const [key, what] of present) {
      const known = this.sightings.get(key);
      this.sightings.set(key, known ? { ...known, what } : this.firstSight(what));
    }
  }

  private firstSight(what: Unneeded): Sighting {
    const since = this.context.clock.now();
    const removalDue =
      this.context.config.policy === 'remove' ? new Date(since.getTime() + this.graceMs) : null;
    this.context.logger.warn(
      { orphan: what, removal_due: removalDue },
      removalDue
        ? 'An orphan: nobody wants it, and it is removed unless somebody does by then'
        : 'An orphan: nobody wants it, and it is left alone (orphans.policy: report)',
    );
    return {
      backend: this.runner.backend,
      what,
      since,
      removalDue,
      error: undefined,
      firstSeen: this.now,
    };
  }

  private async remove(key: string, sighting: Sighting, signal: AbortSignal): Promise<void> {
    const { what } = sighting;
    try {
      const isRemoved = await within({ ms: this.runner.stopTimeoutMs, signal }, (limit) =>
        this.runner.removeUnneeded(what, this.context.needed, 'polite', limit),
      );
      this.sightings.delete(key);
      if (isRemoved) this.context.logger.warn({ orphan: what }, 'An orphan was removed');
    } catch (error) {
      if (signal.aborted) return;
      sighting.error = { ...toPlacementError(error), at: this.context.clock.now().toISOString() };
      this.context.logger.error({ err: error, orphan: what }, 'An orphan could not be removed; tried again');
    }
  }

  /** When the next grace is over; what is due already and still there waits for the interval. */
  private nextDue(): number {
    if (this.context.config.policy === 'report') return Infinity;
    const due = [...this.sightings.values()].map(({ firstSeen }) => firstSeen + this.graceMs);
    return Math.min(Infinity, ...due.filter((time) => time > this.now));
  }
}

function keyOf({ serverId, model }: Unneeded): string {
  return model === undefined ? serverId : `${serverId} ${model}`;
}
