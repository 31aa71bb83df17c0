import { checkInstanceGroups, completeInstanceGroups } from './instance-groups.js';
import { KeyedQueue } from './keyed-queue.js';
import type { Log } from './log.js';
import { differsInInstancesOnly, isEnsemble, type ModelConfig, stepsOf } from './model-config.js';
import { ModelLoader } from './model-loader.js';
import { ModelSlot, UNLOADED, type ModelState } from './model-slot.js';
import type { Pace } from './pace.js';
import { ModelNotFound, type ModelRepositories, type PolledModel, UnreadableConfig } from './repository.js';
import type { ServedModel } from './served-model.js';
import { TritonError, toTritonError } from './triton-error.js';

/** One row of the repository index: a model that was never loaded has a name and nothing else. */
export interface IndexRow {
  name: string;
  version?: string;
  state?: ModelState;
  reason?: string;
}

/** Loads and unloads models the way Triton does in explicit mode. Knows nothing of HTTP. */
export class ModelLifecycle {
  private readonly slots = new Map<string, ModelSlot>();
  private readonly queue = new KeyedQueue();
  private readonly loader: ModelLoader;
  /** Loads and reloads at work: Triton can't end before them. */
  private readonly loads = new Set<Promise<void>>();
  private readonly unloads = new Map<ServedModel, Promise<void>>();
  /** Ensembles whose load was asked for, with their steps. */
  private readonly ensembles = new Map<string, readonly string[]>();

  constructor(
    private readonly repositories: Pick<ModelRepositories, 'names' | 'poll'>,
    private readonly visibleGpus: readonly number[],
    pace: Pace,
    private readonly log: Log,
  ) {
    this.loader = new ModelLoader(pace, log);
  }

  /**
   * Resolves when the model serves; an ensemble has its steps loaded first, and ensembles that lack just this one are
   * loaded after it. Throws TritonError; what served before then goes on serving.
   */
  load(name: string): Promise<void> {
    const load = this.queue.run(name, () => this.loadNow(name, [])).then(() => this.loadEnsemblesOf(name));
    const settled = load.catch(() => undefined); // the caller is told by `load`; this one only says that it is over
    this.loads.add(settled);
    void settled.then(() => this.loads.delete(settled));
    return load;
  }

  /** Resolves when the model takes no more requests; it is UNLOADING until those in flight are done. */
  async unload(name: string): Promise<void> {
    await this.queue.run(name, () => {
      this.ensembles.delete(name);
      this.unloadEnsemblesOf(name);
      const slot = this.slots.get(name);
      if (slot) this.unloadNow(slot);
    });
  }

  /** The repository index. */
  async index(readyOnly = false): Promise<IndexRow[]> {
    const names = await this.repositories.names();
    const rows = names.flatMap((name) => this.rows(name));
    return readyOnly ? rows.filter((row) => row.state === 'READY') : rows;
  }

  /** False while any model loads, unloads, or has failed. */
  get allReady(): boolean {
    return [...this.slots.values()].every(
      (slot) => slot.versions.length > 0 && (slot.state === 'READY' || slot.reason === UNLOADED),
    );
  }

  /** The models that serve, sorted by name. */
  get served(): ServedModel[] {
    const models = [...this.slots.values()].flatMap((slot) => (slot.serving ? [slot.serving] : []));
    return models.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The model that answers requests for that name and version. Throws TritonError in Triton's words. */
  serving(name: string, version?: string): ServedModel {
    const slot = this.slots.get(name);
    if (!slot) throw unknown(name, 'is not found');
    if (slot.serving && (version === undefined || slot.serving.versions.includes(version)))
      return slot.serving;
    if (version === undefined) throw unknown(name, 'has no available versions');
    if (!slot.versions.includes(version)) throw unknown(name, `version ${version} is not found`);
    throw new TritonError(
      'UNAVAILABLE',
      `Request for unknown model: '${name}' version ${version} is not at ready state`,
    );
  }

  /** True where `serving` would answer. */
  isReady(name: string, version?: string): boolean {
    const versions = this.slots.get(name)?.serving?.versions;
    return versions !== undefined && (version === undefined || versions.includes(version));
  }

  /** Models not yet gone: serving or being unloaded. */
  get live(): number {
    return this.served.length + this.unloads.size;
  }

  /** Requests in flight, over all models. */
  get inFlight(): number {
    return [...this.served, ...this.unloads.keys()].reduce((sum, model) => sum + model.inFlight, 0);
  }

  /** True where a loaded model wants the server to ignore SIGTERM. */
  get ignoresSigterm(): boolean {
    return this.served.some((model) => model.settings.exit_ignore_sigterm);
  }

  /** Resolves when no load is at work. */
  async loadsDone(): Promise<void> {
    while (this.loads.size > 0) await Promise.all(this.loads);
  }

  /** Unloads every model; resolves when the last is gone. */
  async unloadAll(): Promise<void> {
    for (const slot of this.slots.values()) this.unloadNow(slot);
    await Promise.all(this.unloads.values());
  }

  /** Those that are not there are loaded, without their being asked for. */
  private async loadSteps(config: ModelConfig, path: readonly string[]): Promise<void> {
    const { name } = config;
    this.ensembles.set(name, stepsOf(config));
    const circle = stepsOf(config).find((step) => path.includes(step));
    if (circle !== undefined)
      throw this.refused(
        name,
        `circular dependency between ensembles: ${circle} -> ... -> ${name} -> ${circle}`,
      );
    const loads = await Promise.allSettled(
      stepsOf(config).map((step) => this.queue.run(step, () => this.loadNow(step, path))),
    );
    const missing = stepsOf(config).filter((_, index) => loads[index]?.status === 'rejected');
    if (missing.length > 0) throw this.refused(name, unavailable(name, missing));
  }

  private refused(name: string, problem: string): TritonError {
    this.log.error('model_repository_manager.cc:703', `Invalid argument: ${problem}`);
    return new TritonError('INVALID_ARG', `load failed for model '${name}': ${problem}\n`);
  }

  /** Ensembles that went with one of their steps come back with it. */
  private async loadEnsemblesOf(step: string): Promise<void> {
    for (const [name, steps] of this.ensembles) {
      if (!steps.includes(step) || this.isReady(name) || !steps.every((each) => this.isReady(each))) continue;
      await this.queue.run(name, () => this.loadNow(name, [])).catch(() => undefined); // its reason is in the index
      await this.loadEnsemblesOf(name);
    }
  }

  /** An ensemble goes with its first step. */
  private unloadEnsemblesOf(step: string): void {
    for (const [name, steps] of this.ensembles) {
      const slot = this.slots.get(name);
      if (!steps.includes(step) || !slot?.serving) continue;
      this.log.error('model_repository_manager.cc:703', `Invalid argument: ${unavailable(name, [step])}`);
      this.unloadNow(slot);
      this.unloadEnsemblesOf(name);
    }
  }

  /** @param path the ensembles that it is loaded for */
  private async loadNow(name: string, path: readonly string[]): Promise<void> {
    const polled = await this.poll(name);
    if (isEnsemble(polled.config)) await this.loadSteps(polled.config, [...path, name]);
    const slot = this.slot(name);
    const old = slot.serving;
    if (old?.isCurrent(polled)) return;
    if (polled.versions.length === 0) {
      if (!old) slot.versions = [];
      const problem = `at least one version must be available under the version policy of model '${polled.name}'`;
      this.log.error('model_repository_manager.cc:724', `failed to load model '${polled.name}': ${problem}`);
      throw new TritonError('INVALID_ARG', `load failed for model '${polled.name}': ${problem}\n`);
    }
    if (!old) slot.versions = polled.versions;
    slot.reason = undefined;
    slot.loading = true;
    for (const version of polled.versions) {
      this.log.info('model_lifecycle.cc:472', `loading: ${polled.name}:${version}`);
    }
    const config = completeInstanceGroups(polled.config, this.visibleGpus);
    const inPlace = old && !old.filesChanged(polled) && differsInInstancesOnly(old.config, config);
    try {
      checkInstanceGroups(config, this.visibleGpus);
      if (inPlace) await this.loader.changeInstances(old, polled, config);
      else slot.serving = await this.loader.load(polled, config);
    } catch (error) {
      throw this.loadFailed(slot, polled, toTritonError(error), inPlace === true);
    } finally {
      slot.loading = false;
    }
    slot.versions = polled.versions;
    this.log.info('model_lifecycle.cc:839', `successfully loaded '${polled.name}'`);
    if (old && !inPlace) void this.release(old);
  }

  private loadFailed(
    slot: ModelSlot,
    polled: PolledModel,
    error: TritonError,
    inPlace: boolean,
  ): TritonError {
    // A failed reload leaves no trace beside the model that goes on serving.
    if (!slot.serving || inPlace) slot.reason = error.asReason;
    const state = inPlace ? 'READY' : 'UNAVAILABLE';
    const perVersion = polled.versions.map((version) => {
      this.log.error(
        'model_lifecycle.cc:642',
        `failed to load '${polled.name}' version ${version}: ${error.asReason}`,
      );
      return `version ${version} is at ${state} state: ${error.asReason};\n`;
    });
    this.log.info('model_lifecycle.cc:777', `failed to load '${polled.name}'`);
    return new TritonError('INVALID_ARG', `load failed for model '${polled.name}': ${perVersion.join('')}`);
  }

  private unloadNow(slot: ModelSlot): void {
    const model = slot.serving;
    if (!model) return;
    slot.serving = undefined;
    slot.unloading = model;
    slot.reason = undefined;
    void this.release(model).then(() => {
      if (slot.unloading !== model) return;
      slot.unloading = undefined;
      // A load in the meantime has the last word, failed or not.
      if (!slot.serving && !slot.loading) slot.reason ??= UNLOADED;
    });
  }

  private async release(model: ServedModel): Promise<void> {
    const unload = model.unload();
    this.unloads.set(model, unload);
    await unload;
    this.unloads.delete(model);
    for (const version of model.versions) {
      this.log.info('model_lifecycle.cc:624', `successfully unloaded '${model.name}' version ${version}`);
    }
  }

  private async poll(name: string): Promise<PolledModel> {
    try {
      return await this.repositories.poll(name);
    } catch (error) {
      this.logPollFailure(name, error);
      throw new TritonError('INTERNAL', `failed to load '${name}', failed to poll from model repository`);
    }
  }

  private logPollFailure(name: string, error: unknown): void {
    const problem = error instanceof Error ? error.message : String(error);
    if (error instanceof ModelNotFound) {
      this.log.error('model_repository_manager.cc:1415', `failed to poll model '${name}': ${problem}`);
      return;
    }
    if (error instanceof UnreadableConfig)
      this.log.library(`[libprotobuf ERROR text_format.cc:337] ${error.parserWords}`);
    this.log.error(
      'model_repository_manager.cc:1460',
      `Poll failed for model directory '${name}': ${problem}`,
    );
  }

  private slot(name: string): ModelSlot {
    const slot = this.slots.get(name) ?? new ModelSlot();
    this.slots.set(name, slot);
    return slot;
  }

  private rows(name: string): IndexRow[] {
    const slot = this.slots.get(name);
    if (!slot) return [{ name }];
    const reason = slot.reason === undefined ? {} : { reason: slot.reason };
    return slot.versions.map((version) => ({ name, version, state: slot.state, ...reason }));
  }
}

function unknown(name: string, problem: string): TritonError {
  return new TritonError('NOT_FOUND', `Request for unknown model: '${name}' ${problem}`);
}

function unavailable(ensemble: string, steps: readonly string[]): string {
  return `ensemble ${ensemble} contains models that are not available or ambiguous: ${steps.join(', ')}`;
}
