import { InstancePool } from './instance-pool.js';
import { instancesOf } from './instance-groups.js';
import { isEnsemble, type ModelConfig } from './model-config.js';
import type { Pace } from './pace.js';
import type { PolledModel } from './repository.js';
import type { StandinSettings } from './standin-settings.js';
import { TritonError } from './triton-error.js';

/** What a served model has done so far, times in nanoseconds. */
export interface ModelStatistics {
  success: number;
  failure: number;
  requestNs: number;
  queueNs: number;
  inferNs: number;
  /** Milliseconds since the epoch; 0 before the first. */
  lastInference: number;
}

/** A model that is loaded: its configuration, instances and counters. */
export class ServedModel {
  readonly statistics: ModelStatistics = {
    success: 0,
    failure: 0,
    requestNs: 0,
    queueNs: 0,
    inferNs: 0,
    lastInference: 0,
  };
  private readonly pool: InstancePool;
  /** Requests that an instance has begun with. */
  private begun = 0;

  constructor(
    private polled: PolledModel,
    private currentConfig: ModelConfig,
    readonly settings: StandinSettings,
    readonly loadSeconds: number,
    private readonly pace: Pace,
  ) {
    this.pool = new InstancePool(poolSize(currentConfig));
  }

  get isEnsemble(): boolean {
    return isEnsemble(this.currentConfig);
  }

  get name(): string {
    return this.currentConfig.name;
  }

  get config(): ModelConfig {
    return this.currentConfig;
  }

  get versions(): readonly string[] {
    return this.polled.versions;
  }

  /** Requests that wait for an instance. */
  get pending(): number {
    return this.pool.pending;
  }

  /** Requests that wait or are worked on. */
  get inFlight(): number {
    return this.pool.inFlight;
  }

  /** True where the directory holds what this model was loaded from. */
  isCurrent(polled: PolledModel): boolean {
    return !this.filesChanged(polled) && polled.configStamp === this.polled.configStamp;
  }

  /** True where files besides `config.pbtxt` were written since. */
  filesChanged(polled: PolledModel): boolean {
    return polled.filesTime > this.polled.filesTime || polled.versions.join() !== this.polled.versions.join();
  }

  /** Takes over a configuration that differs in its instances only. */
  updateInstances(polled: PolledModel, config: ModelConfig): void {
    this.polled = polled;
    this.currentConfig = config;
    this.pool.resize(poolSize(config));
  }

  /** Computes on an instance: waits for a free one and takes the model's time. */
  async execute<T>(compute: () => T | Promise<T>): Promise<T> {
    const arrived = process.hrtime.bigint();
    return this.pool.run(async () => {
      const started = process.hrtime.bigint();
      try {
        await this.misbehave();
        await this.pace.pause(this.settings.infer_ms, `infer ${this.name}`);
        const result = await compute();
        this.statistics.success += 1;
        this.statistics.queueNs += Number(started - arrived);
        this.statistics.inferNs += Number(process.hrtime.bigint() - started);
        this.statistics.requestNs += Number(process.hrtime.bigint() - arrived);
        this.statistics.lastInference = Date.now();
        return result;
      } catch (error) {
        this.statistics.failure += 1;
        throw error;
      }
    });
  }

  private async misbehave(): Promise<void> {
    const { stub_dies_after: alive = Infinity, hang_infer_after: prompt = Infinity } = this.settings;
    this.begun += 1;
    if (this.begun > prompt) await new Promise<never>(() => undefined);
    if (this.begun > alive)
      throw new TritonError('INTERNAL', `Stub process '${this.name}_0_0' is not healthy.`);
  }

  /** Resolves when its last request is answered and its memory would be free: never, with a dead process. */
  async unload(): Promise<void> {
    await this.pool.idle();
    if (this.begun > (this.settings.stub_dies_after ?? Infinity)) await new Promise<never>(() => undefined);
    if (this.settings.hang_unload) await new Promise<never>(() => undefined);
    await this.pace.pause(this.settings.unload_seconds * 1000, `unload ${this.name}`);
  }
}

/** An ensemble has no instances of its own: what waits, waits for its steps. */
function poolSize(config: ModelConfig): number {
  return isEnsemble(config) ? Infinity : instancesOf(config).length;
}
