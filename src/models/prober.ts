import { Interruptible } from '../common/interruptible.js';
import type { Logger } from '../common/logging/logger.js';
import type { Config } from '../config/schema.js';
import type { Deployment, PlacementObservation, Runner } from '../runners/runner.js';

interface ProberContext {
  readonly logger: Logger;
  readonly config: Pick<Config, 'health'>;
}

/** Asks a runner what is true, each time with a deadline, and takes silence for no answer. */
export class Prober {
  private readonly underWay = new Set<Interruptible>();

  constructor(
    private readonly runner: Runner,
    private readonly context: ProberContext,
  ) {}

  get isAsking(): boolean {
    return this.underWay.size > 0;
  }

  /** What the runner says, by GPU; nothing when it fails or does not answer in time. */
  async ask(wanted: Deployment): Promise<ReadonlyMap<number, PlacementObservation>> {
    const probe = new Interruptible(this.context.config.health.probe_timeout_ms, 0);
    this.underWay.add(probe);
    try {
      const observations = await probe.run((signal) => this.runner.getStatus(wanted, signal));
      return new Map(observations.map((observation) => [observation.gpuId, observation]));
    } catch (error) {
      if (!probe.isInterrupted) {
        this.context.logger.warn({ err: error, model_name: wanted.modelName }, 'A probe failed');
      }
      return new Map();
    } finally {
      this.underWay.delete(probe);
    }
  }

  interrupt(): void {
    for (const probe of this.underWay) probe.interrupt();
  }
}
