import { Interruptible } from '../../common/interruptible.js';
import { messageOf } from '../../common/errors.js';
import type { Deployment, PlacementObservation, Runner } from '../../runners/runner.js';
import type { WorkerServices } from './worker-services.js';

/** Time, ms, a runner has after the deadline to come back with what it knows. */
const GRACE_MS = 250;

/** Asks a runner what is true, each time with a deadline. */
export class Prober {
  private readonly underWay = new Set<Interruptible>();

  constructor(
    private readonly runner: Runner,
    private readonly services: Pick<WorkerServices, 'logger' | 'config'>,
  ) {}

  get isAsking(): boolean {
    return this.underWay.size > 0;
  }

  /** What the runner says, by GPU; silence where it fails or does not come back. Nothing when it was interrupted. */
  async ask(wanted: Deployment): Promise<ReadonlyMap<number, PlacementObservation>> {
    const { probe_timeout_ms: limitMs } = this.services.config.health;
    const probe = new Interruptible(limitMs, GRACE_MS);
    this.underWay.add(probe);
    try {
      const observations = await probe.run((signal) => this.runner.getStatus(wanted, signal));
      return new Map(observations.map((observation) => [observation.gpuId, observation]));
    } catch (error) {
      if (probe.isInterrupted) return new Map();
      this.services.logger.warn({ err: error, model_name: wanted.modelName }, 'A probe failed');
      return new Map(wanted.gpuIds.map((gpuId) => [gpuId, silence(gpuId, messageOf(error))]));
    } finally {
      this.underWay.delete(probe);
    }
  }

  interrupt(): void {
    for (const probe of this.underWay) probe.interrupt();
  }
}

function silence(gpuId: number, reason: string): PlacementObservation {
  return { gpuId, phase: 'silent', reason, pid: null, port: null, serverName: null };
}
