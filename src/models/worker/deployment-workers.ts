import type { Runner } from '../../runners/runner.js';
import type { DeploymentState } from '../deployment/deployment-state.js';
import { ShuttingDownError } from '../deployment/errors.js';
import { DeploymentRecords } from './deployment-records.js';
import { UnitWorker } from './unit-worker.js';
import type { WorkerServices } from './worker-services.js';

/** The workers of one deployment, one for each of its units, and what they share: its lock and its entry on disk. */
export class DeploymentWorkers {
  readonly records: DeploymentRecords;
  private readonly byUnit = new Map<string, UnitWorker>();

  constructor(
    readonly state: DeploymentState,
    private readonly runner: Runner,
    private readonly services: WorkerServices,
  ) {
    this.records = new DeploymentRecords(state, services, () => {
      this.wake();
    });
    for (const unit of state.units) this.add(unit);
  }

  /** The worker of the unit that a placement on this GPU belongs to. */
  on(gpuId: number): UnitWorker {
    const unit = this.state.unitOn(gpuId);
    return this.byUnit.get(unit.name) ?? this.add(unit);
  }

  get all(): UnitWorker[] {
    return [...this.byUnit.values()];
  }

  get isBusy(): boolean {
    return this.all.some((worker) => worker.isBusy);
  }

  /** All look again at what is wanted and what is true. Never waits. */
  wake(): void {
    for (const worker of this.all) worker.wake();
  }

  /** All look at their backend. Never waits. */
  probe(): void {
    for (const worker of this.all) if (!worker.unit.isEmpty) worker.probe();
  }

  /** Whoever waits for a stop is told that it goes on later. Resolves when nothing of it runs any more. */
  async close(): Promise<void> {
    this.records.waiters.close(
      new ShuttingDownError(
        'This service is shutting down; the stop was accepted and goes on when it is back.',
      ),
    );
    await Promise.all(this.all.map((worker) => worker.close()));
    await this.records.lock.waitForUnlock();
  }

  private add(unit: UnitWorker['unit']): UnitWorker {
    const worker = new UnitWorker(unit, this.runner, this.records, this.services);
    this.byUnit.set(unit.name, worker);
    return worker;
  }
}
