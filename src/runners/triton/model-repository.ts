import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeWhole } from '../../common/durable-file.js';
import { DomainError, messageOf, systemCodeOf } from '../../common/errors.js';
import { readTemplate, type TemplateFacts } from './config-template.js';
import {
  groupsInText,
  type InstanceGroups,
  instanceGroupText,
  type InstancePlace,
  placesComment,
} from './instance-groups.js';
import type { InstanceKind } from './triton-section.js';

const TEMPLATE = 'config.pbtxt.template';
const CONFIG = 'config.pbtxt';

/** The seed's "Could not generate config for model". */
export class ModelConfigError extends DomainError {
  readonly code = 'MODEL_CONFIG_FAILED';
  readonly kind = 'internal';
}

/** A template that is fit to be completed. */
interface ModelTemplate {
  readonly text: string;
  /** Models that an ensemble is made of; `undefined`: it is none. */
  readonly steps: readonly string[] | undefined;
}

/**
 * The model repository on the host: makes each model's `config.pbtxt` from the template beside it.
 * Model names are catalog keys, checked when the configuration was read: they are safe in a path.
 */
export class ModelRepository {
  constructor(private readonly root: string) {}

  /**
   * The template is there and fit to be completed. Says which models an ensemble is made of; `undefined`: it is none.
   * @throws ModelConfigError
   */
  async check(model: string, kind: InstanceKind = 'gpu'): Promise<readonly string[] | undefined> {
    return (await this.template(model, kind)).steps;
  }

  /**
   * Writes `config.pbtxt`, whole or not at all, and not when it already says the same: Triton takes a newer file for a
   * changed one. Triton refuses instances of an ensemble; those of kind `auto` it chooses itself.
   * @throws ModelConfigError
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

  private async template(model: string, kind: InstanceKind): Promise<ModelTemplate> {
    const path = join(this.root, model, TEMPLATE);
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      const cause =
        systemCodeOf(error) === 'ENOENT'
          ? `${path} does not exist: create it`
          : `${path}: ${messageOf(error)}`;
      throw failed(model, cause, error);
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
