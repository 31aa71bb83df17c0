import { access, constants } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { FilesStuckError, type FileWork, fileWork } from '../../common/files/file-work.js';
import { UnfitFileError } from '../../common/files/regular-file.js';
import { DomainError, messageOf, systemCodeOf } from '../../common/errors.js';
import { safeName } from '../../config/sections/common.js';
import { isMissing, isReadable } from '../../host/paths.js';
import { type HostPath, HostPathMissingError, pathFault, sought } from '../../launchers/host-paths.js';
import { readTemplate, type TemplateFacts } from './config-template.js';
import {
  type FoundPlaces,
  groupsInText,
  type InstanceGroups,
  instanceGroupText,
  type InstancePlace,
  placesComment,
  placesOf,
} from './instance-groups.js';
import { RepositoryFiles } from './repository-files.js';
import { TextFormatError } from './text-format.js';
import type { InstanceKind } from './triton-section.js';

const TEMPLATE = 'config.pbtxt.template';
const CONFIG = 'config.pbtxt';
/** Triton takes it at the beginning of a text alone. */
const BYTE_ORDER_MARK = /^\uFEFF/;

/** The seed's "Could not generate config for model". */
export class ModelConfigError extends DomainError {
  readonly code = 'MODEL_CONFIG_FAILED';
  readonly kind = 'internal';
}

/** The server that would load the model reads another repository than the configuration has by now. */
export class ModelRepositoryChangedError extends DomainError {
  readonly code = 'MODEL_REPOSITORY_CHANGED';
  readonly kind = 'conflict';
}

/** A template that is fit to be completed. */
interface ModelTemplate {
  readonly text: string;
  /** Models that an ensemble is made of; `undefined`: it is none. */
  readonly steps: readonly string[] | undefined;
}

/** The root as the configuration names it. */
export function repositoryPath(path: string): HostPath {
  return { path, setting: 'runners.triton.model_repository_host_path', isDirectory: true };
}

/**
 * The model repository on the host: makes each model's `config.pbtxt` from the template beside it.
 * Model names are catalog keys, checked when the configuration was read: they are safe in a path.
 */
export class ModelRepository {
  private readonly files: RepositoryFiles;

  constructor(
    private readonly root: string,
    private readonly work: FileWork = fileWork,
  ) {
    this.files = new RepositoryFiles(root, work);
  }

  /** What this server reads is what the configuration has. @throws ModelRepositoryChangedError */
  checkConfigured(server: string, configured: ModelRepository): void {
    if (resolve(this.root) === resolve(configured.root)) return;
    throw new ModelRepositoryChangedError(
      `${server} was launched with the model repository ${this.root}, and runners.triton.model_repository_host_path is ${configured.root} by now. It serves on what it has, and takes no start: stop all models on it, so that it is launched anew, or put the path back.`,
      { server, launchedWith: this.root, configured: configured.root },
    );
  }

  /**
   * The template is there and fit to be completed, and nothing is in the place of `config.pbtxt` that is not to be replaced.
   * Says which models an ensemble is made of; `undefined`: it is none.
   * @throws ModelConfigError, FilesStuckError
   */
  async check(model: string, kind: InstanceKind = 'gpu'): Promise<readonly string[] | undefined> {
    const { steps } = await this.template(model, kind);
    try {
      await this.files.checkReplaceable(model, CONFIG);
    } catch (error) {
      throw unwritable(model, join(this.root, model, CONFIG), error);
    }
    return steps;
  }

  /** @throws HostPathMissingError, FilesStuckError */
  async checkRoot(): Promise<void> {
    const root = repositoryPath(this.root);
    if (await isReadable(sought(root))) return;
    throw new HostPathMissingError(root, await pathFault(root));
  }

  /**
   * Whether `config.pbtxt` can be written; it need not, where it says the right thing already.
   * @throws ModelConfigError, FilesStuckError
   */
  async checkWritable(model: string): Promise<void> {
    const directory = join(this.root, model);
    try {
      await this.work.run(directory, () => access(directory, constants.W_OK));
    } catch (error) {
      if (await isMissing(directory)) return; // the template is missing, then
      throw failed(model, `${directory} cannot be written: ${messageOf(error)}`, error);
    }
  }

  /**
   * Writes `config.pbtxt`, whole or not at all, and not when it already says the same: Triton takes a newer file for a
   * changed one. Triton refuses instances of an ensemble; those of kind `auto` it chooses itself.
   * @throws ModelConfigError, FilesStuckError
   */
  async writeConfig(
    model: string,
    places: readonly InstancePlace[],
    instancesPerGpu: number,
    kind: InstanceKind = 'gpu',
  ): Promise<void> {
    const { text, steps } = await this.template(model, kind);
    const instances =
      steps || kind === 'auto'
        ? placesComment(places)
        : instanceGroupText(places, instancesPerGpu, kind === 'model' ? 'KIND_MODEL' : 'KIND_CPU');
    const content = `# Generated from ${TEMPLATE}: edit that file instead.\n${text.trimEnd()}\n${instances}`;
    const path = join(this.root, model, CONFIG);
    try {
      if ((await this.config(model)) === content) return;
      await this.files.replace(model, CONFIG, content);
    } catch (error) {
      throw unwritable(model, path, error);
    }
  }

  /**
   * What was written for the last load of a model, of the configuration or not; `undefined`: nothing is there that this
   * service has written. @throws FilesStuckError, a system error
   */
  async written(model: string): Promise<InstanceGroups | undefined> {
    if (!safeName.safeParse(model).success) return undefined; // no model of ours was ever called so
    const text = await this.config(model);
    try {
      return text === undefined ? undefined : groupsInText(text);
    } catch (error) {
      if (error instanceof TextFormatError) return undefined;
      throw error;
    }
  }

  /**
   * Where a loaded model is placed. Triton's configuration does not tell it of an ensemble, nor where Triton chooses the
   * instances: what was written does. `undefined`: on none that we know of.
   */
  async placesOf(model: string, config: InstanceGroups): Promise<FoundPlaces | undefined> {
    return placesOf(config) ?? placesOf((await this.written(model)) ?? config);
  }

  /** What this service cannot have written stays, and so does what is on a disk that does not answer. @throws ModelConfigError */
  async removeConfig(model: string): Promise<void> {
    const path = join(this.root, model, CONFIG);
    try {
      await this.files.remove(model, CONFIG);
    } catch (error) {
      if (error instanceof UnfitFileError || systemCodeOf(error) === 'ENOENT') return;
      // The model has gone, and its stop is done: the next start writes the file anew.
      if (error instanceof FilesStuckError) return;
      throw failed(model, `${path} cannot be removed: ${messageOf(error)}`, error);
    }
  }

  /** `undefined`: there is none, or none that this service has written. */
  private async config(model: string): Promise<string | undefined> {
    try {
      return await this.files.read(model, CONFIG);
    } catch (error) {
      if (error instanceof UnfitFileError || systemCodeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  private async whyUnread(path: string, error: unknown): Promise<string> {
    if (error instanceof DomainError || error instanceof UnfitFileError) return error.message;
    const root = repositoryPath(this.root);
    if (await isMissing(sought(root))) {
      const fault = (await pathFault(root)) ?? 'is not there';
      return `the model repository ${root.path} ${fault}: create it, or correct ${root.setting}`;
    }
    return systemCodeOf(error) === 'ENOENT'
      ? `${path} does not exist: create it`
      : `${path}: ${messageOf(error)}`;
  }

  private async template(model: string, kind: InstanceKind): Promise<ModelTemplate> {
    const path = join(this.root, model, TEMPLATE);
    let text: string;
    try {
      text = (await this.files.read(model, TEMPLATE)).replace(BYTE_ORDER_MARK, '');
    } catch (error) {
      throw failed(model, await this.whyUnread(path, error), error);
    }
    let facts: TemplateFacts;
    try {
      facts = readTemplate(text);
    } catch (error) {
      throw failed(model, `${path} is not valid: ${messageOf(error)}`, error);
    }
    const fault = faultOf(facts, kind);
    if (fault !== undefined) throw failed(model, `${path} ${fault}`);
    return { text, steps: facts.steps };
  }
}

/** Why Triton would not take it, as it will be completed. */
function faultOf({ topLevel, platform, steps }: TemplateFacts, kind: InstanceKind): string | undefined {
  const hasGroup = topLevel.includes('instance_group');
  if (steps && platform !== 'ensemble')
    return 'has ensemble_scheduling and is no ensemble: add platform: "ensemble"';
  if (platform === 'ensemble' && !steps)
    return 'has platform: "ensemble" and no ensemble_scheduling: add its steps';
  if (steps && hasGroup)
    return 'has an instance_group of its own: remove it, an ensemble runs where its steps do';
  if (hasGroup && kind !== 'auto')
    return 'has an instance_group of its own: remove it, this service writes one for the GPUs in use (kind: auto leaves it to the template)';
  return undefined;
}

function unwritable(model: string, path: string, error: unknown): DomainError {
  const words = messageOf(error);
  return failed(
    model,
    error instanceof UnfitFileError ? words : `${path} cannot be written: ${words}`,
    error,
  );
}

/** Of a file system that does not answer, nothing is wrong with the model. */
function failed(model: string, cause: string, error?: unknown): DomainError {
  if (error instanceof FilesStuckError) return error;
  return new ModelConfigError(
    `Could not generate config for model ${model}: ${cause}.`,
    { model },
    { cause: error },
  );
}
