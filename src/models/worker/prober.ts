import { orAborted } from '../../common/deadline.js';
import { Interruptible } from '../../common/interruptible.js';
import { messageOf } from '../../common/errors.js';
import type { Deployment } from '../../runners/deployment.js';
import type { PlacementObservation } from '../../runners/observation.js';
import type { Runner } from '../../runners/runner.js';
import type { WorkerServices } from './worker-services.js';

/** Time, ms, a runner has after the deadline to come back with what it knows. */
const GRACE_MS = 250;

/** Asks a runner what is true, each time with a deadline. */
export class Prober {
  private underWay = 0;
  private readonly ending = new AbortController();

  constructor(
    private readonly runner: Runner,
    private readonly services: Pick<WorkerServices, 'logger' | 'config' | 'gpus'>,
  ) {}

  get isAsking(): boolean {
    return this.underWay > 0;
  }

  /** What the runner says, by GPU; silence where it fails or does not come back. Nothing once it is closed. */
  async ask(wanted: Deployment): Promise<ReadonlyMap<number, PlacementObservation>> {
    const probe = new Interruptible(this.services.config.health.probe_timeout_ms, GRACE_MS);
    this.underWay += 1;
    try {
      const asked = probe.run((signal) => this.runner.getStatus(wanted, signal, this.services.gpus.lastSeen));
      const observations = await orAborted(asked, this.ending.signal);
      return new Map(observations.map((observation) => [observation.gpuId, observation]));
    } catch (error) {
      if (this.ending.signal.aborted) return new Map();
      this.services.logger.warn({ err: error, model_name: wanted.modelName }, 'A probe failed');
      return new Map(wanted.gpuIds.map((gpuId) => [gpuId, silence(gpuId, messageOf(error))]));
    } finally {
      this.underWay -= 1;
    }
  }

  /** Nobody waits for an answer any more. */
  close(): void {
    this.ending.abort(new Error('this service is shutting down'));
  }
}

function silence(gpuId: number, reason: string): PlacementObservation {
  return { gpuId, phase: 'silent', reason, pid: null, port: null, serverName: null };
}
