import type { Logger } from '../../src/common/logging/logger.js';
import type { Config } from '../../src/config/schema.js';
import type { AdoptionProgress, DesiredDeployment } from '../../src/state/desired-state.js';
import { DesiredStateStore, StateWriteError } from '../../src/state/desired-state.store.js';

/** The desired state without a disk; it can be full. */
export class MemoryStore extends DesiredStateStore {
  readonly saved = new Map<string, DesiredDeployment>();
  /** What stands and is not written. */
  private readonly unwritten = new Map<string, DesiredDeployment | undefined>();
  private again: NodeJS.Timeout | undefined;
  isFull = false;
  /** Further writes that find room: then the disk is full. */
  writesLeft = Infinity;
  /** The state of the last run was set aside. */
  taking: AdoptionProgress | undefined;

  constructor(config: Config, logger: Logger, initial: readonly DesiredDeployment[] = []) {
    super(config, logger);
    for (const deployment of initial) this.saved.set(deployment.model_name, deployment);
  }

  override load(): Promise<readonly DesiredDeployment[]> {
    return Promise.resolve([...this.saved.values()]);
  }

  override async putAll(changes: ReadonlyMap<string, DesiredDeployment | undefined>): Promise<void> {
    await this.write();
    const kept = [...this.unwritten];
    this.unwritten.clear();
    for (const [modelName, deployment] of [...kept, ...changes]) {
      if (deployment) this.saved.set(modelName, structuredClone(deployment));
      else this.saved.delete(modelName);
    }
  }

  override async keepAll(
    changes: ReadonlyMap<string, DesiredDeployment | undefined>,
  ): Promise<StateWriteError | undefined> {
    try {
      await this.putAll(changes);
      return undefined;
    } catch (error) {
      for (const [modelName, deployment] of changes) this.unwritten.set(modelName, deployment);
      this.again ??= setTimeout(() => {
        this.again = undefined;
        if (this.unwritten.size > 0) void this.keepAll(new Map());
      }, 1000).unref();
      if (error instanceof StateWriteError) return error;
      throw error;
    }
  }

  override get unsaved(): string | undefined {
    return this.unwritten.size > 0 ? 'Cannot write the state: the disk is full.' : undefined;
  }

  override get adoption(): AdoptionProgress | undefined {
    return this.taking;
  }

  override async putAdoption(adoption: AdoptionProgress | undefined): Promise<void> {
    await this.write();
    this.taking = adoption;
  }

  private async write(): Promise<void> {
    await Promise.resolve();
    if (this.writesLeft === 0) this.isFull = true;
    if (this.isFull) throw new StateWriteError('Cannot write the state: the disk is full.');
    this.writesLeft -= 1;
  }

  /** `{ "A": ["0 serve", "1 release"] }` */
  wanted(): Record<string, string[]> {
    return Object.fromEntries(
      [...this.saved].map(([model, { placements }]) => [
        model,
        placements.map((placement) => `${placement.gpu_id} ${placement.wanted}`).sort(),
      ]),
    );
  }
}

/** A model as the state file has it. */
export function desired(
  modelName: string,
  placements: DesiredDeployment['placements'],
  options: Record<string, unknown> = { instances: 2 },
): DesiredDeployment {
  return {
    model_name: modelName,
    model_type: 'fake',
    options,
    placements,
    created_at: '2023-12-31T00:00:00.000Z',
    updated_at: '2023-12-31T01:00:00.000Z',
  };
}
