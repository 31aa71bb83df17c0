import { instancesOf } from './instance-groups.js';
import type { Log } from './log.js';
import type { ModelConfig } from './model-config.js';
import type { Pace } from './pace.js';
import type { PolledModel } from './repository.js';
import { ServedModel } from './served-model.js';
import { TritonError } from './triton-error.js';

/** Plays what a backend does while a model loads: takes its time, and fails as `standin.json` says. */
export class ModelLoader {
  constructor(
    private readonly pace: Pace,
    private readonly log: Log,
  ) {}

  /** Loads a model afresh. Throws TritonError. */
  async load(polled: PolledModel, config: ModelConfig): Promise<ServedModel> {
    const started = performance.now();
    const settings = polled.settings();
    if (settings.hang_load) await new Promise<never>(() => undefined);
    await this.pace.pause(settings.load_seconds * 1000, `load ${polled.name}`);
    if (settings.crash_on_load !== undefined) {
      this.log.error(
        'standin.ts:1',
        `standin.json of '${polled.name}' says crash_on_load: this server ends now`,
      );
      this.pace.crash(settings.crash_on_load);
    }
    if (settings.fail_load !== undefined) throw new TritonError('INTERNAL', settings.fail_load);
    this.logInstances(config, new Set());
    const seconds = (performance.now() - started) / 1000;
    return new ServedModel(polled, config, settings, seconds, this.pace);
  }

  /** Adds and drops instances while the model serves: new ones take as long as a load, old ones as an unload. */
  async changeInstances(model: ServedModel, polled: PolledModel, config: ModelConfig): Promise<void> {
    const before = new Set(instancesOf(model.config).map(keyOf));
    const after = new Set(instancesOf(config).map(keyOf));
    const { load_seconds, unload_seconds } = model.settings;
    if ([...after].some((key) => !before.has(key))) {
      await this.pace.pause(load_seconds * 1000, `add instances of ${polled.name}`);
    }
    this.logInstances(config, before);
    model.updateInstances(polled, config);
    if ([...before].some((key) => !after.has(key))) {
      await this.pace.pause(unload_seconds * 1000, `drop instances of ${polled.name}`);
    }
  }

  private logInstances(config: ModelConfig, already: ReadonlySet<string>): void {
    for (const instance of instancesOf(config)) {
      if (already.has(keyOf(instance))) continue;
      this.log.info('standin.ts:1', `ModelInstanceInitialize: ${instance.name} (${instance.device})`);
    }
  }
}

function keyOf(instance: { name: string; device: string }): string {
  return `${instance.name} on ${instance.device}`;
}
