import { access, constants, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeWhole } from '../../common/durable-file.js';
import { DomainError, messageOf, systemCodeOf } from '../../common/errors.js';
import { isMissing, isReadable } from '../../host/paths.js';
import { HostPathMissingError } from '../../launchers/host-paths.js';
import { topLevelFields } from './config-template.js';
import {
  groupsInText,
  type InstanceGroups,
  instanceGroupText,
  type InstancePlace,
} from './instance-groups.js';

const TEMPLATE = 'config.pbtxt.template';
const CONFIG = 'config.pbtxt';

/** The seed's "Could not generate config for model". */
export class ModelConfigError extends DomainError {
  readonly code = 'MODEL_CONFIG_FAILED';
  readonly kind = 'internal';
}

/**
 * The model repository on the host: makes each model's `config.pbtxt` from the template beside it.
 * Model names are catalog keys, checked when the configuration was read: they are safe in a path.
 */
export class ModelRepository {
  constructor(private readonly root: string) {}

  /**
   * The template is there and fit to be completed.
   * @throws ModelConfigError
   */
  async check(model: string): Promise<void> {
    await this.template(model);
  }

  /** @throws HostPathMissingError */
  async checkRoot(): Promise<void> {
    if (await isReadable(this.root)) return;
    throw new HostPathMissingError({
      path: this.root,
      setting: 'runners.triton.model_repository_host_path',
    });
  }

  /** Whether `config.pbtxt` can be written; it need not, where it says the right thing already. @throws ModelConfigError */
  async checkWritable(model: string): Promise<void> {
    const directory = join(this.root, model);
    try {
      await access(directory, constants.W_OK);
    } catch (error) {
      if (await isMissing(directory)) return; // the template is missing, then
      throw failed(model, `${directory} cannot be written: ${messageOf(error)}`, error);
    }
  }

  /**
   * Writes `config.pbtxt`, whole or not at all, and not when it already says the same: Triton takes a newer file for a
   * changed one.
   * @throws ModelConfigError
   */
  async writeConfig(model: string, places: readonly InstancePlace[], instancesPerGpu: number): Promise<void> {
    const template = await this.template(model);
    const content = `# Generated from ${TEMPLATE}: edit that file instead.\n${template.trimEnd()}\n${instanceGroupText(places, instancesPerGpu)}`;
    const path = join(this.root, model, CONFIG);
    try {
      if ((await readIfThere(path)) === content) return;
      await writeWhole(path, content);
    } catch (error) {
      throw failed(model, `${path} cannot be written: ${messageOf(error)}`, error);
    }
  }

  /** What was written for the model's last load; `undefined`: nothing is there. */
  async written(model: string): Promise<InstanceGroups | undefined> {
    const text = await readIfThere(join(this.root, model, CONFIG));
    return text === undefined ? undefined : groupsInText(text);
  }

  /** @throws ModelConfigError */
  async removeConfig(model: string): Promise<void> {
    const path = join(this.root, model, CONFIG);
    try {
      await rm(path, { force: true });
    } catch (error) {
      throw failed(model, `${path} cannot be removed: ${messageOf(error)}`, error);
    }
  }

  private async whyUnread(path: string, error: unknown): Promise<string> {
    if (systemCodeOf(error) !== 'ENOENT') return `${path}: ${messageOf(error)}`;
    if (!(await isMissing(this.root))) return `${path} does not exist: create it`;
    return `the model repository ${this.root} is not there: create it, or correct runners.triton.model_repository_host_path`;
  }

  private async template(model: string): Promise<string> {
    const path = join(this.root, model, TEMPLATE);
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      throw failed(model, await this.whyUnread(path, error), error);
    }
    let fields: string[];
    try {
      fields = topLevelFields(text);
    } catch (error) {
      throw failed(model, `${path} is not valid: ${messageOf(error)}`, error);
    }
    if (fields.includes('instance_group')) {
      throw failed(
        model,
        `${path} has an instance_group of its own: remove it, this service writes one for the GPUs in use`,
      );
    }
    return text;
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function failed(model: string, cause: string, error?: unknown): ModelConfigError {
  return new ModelConfigError(
    `Could not generate config for model ${model}: ${cause}.`,
    { model },
    { cause: error },
  );
}
