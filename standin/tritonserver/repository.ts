import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  completedConfig,
  ensembleProblem,
  parseModelConfig,
  type ModelConfig,
  type VersionPolicy,
} from './model-config.js';
import { parseSettings, type StandinSettings } from './standin-settings.js';
import { TextFormatError } from '../../src/runners/triton/text-format.js';

const CONFIG = 'config.pbtxt';
const SETTINGS = 'standin.json';

/** What a model's directory held when it was looked at. */
export interface PolledModel {
  name: string;
  /** The versions to serve; empty where no version directory fits the policy. */
  versions: string[];
  config: ModelConfig;
  /** Changes when `config.pbtxt` is written. */
  configStamp: string;
  /** When any other file or directory of the model was written last (ns since the epoch). */
  filesTime: bigint;
  /** Reads `standin.json`; throws TritonError when it is refused. */
  settings: () => StandinSettings;
}

/** A model directory that can't be used; the message is for the log, as in Triton. */
export class PollError extends Error {
  override readonly name: string = 'PollError';
}

/** The model has no directory. */
export class ModelNotFound extends PollError {
  override readonly name = 'ModelNotFound';
}

/** Its configuration is no protobuf text: the parser says where, in a line of its own. */
export class UnreadableConfig extends PollError {
  override readonly name = 'UnreadableConfig';

  constructor(
    path: string,
    readonly parserWords: string,
  ) {
    super(`failed to read text proto from ${path}`);
  }
}

/** The model repositories: directories of model directories. Only reads. */
export class ModelRepositories {
  constructor(
    private readonly paths: readonly string[],
    private readonly defaults: StandinSettings,
  ) {}

  /** Names of all model directories, sorted. */
  async names(): Promise<string[]> {
    const lists = await Promise.all(this.paths.map(subdirectories));
    return [...new Set(lists.flat())].sort();
  }

  /** Reads one model's directory. Throws PollError. */
  async poll(name: string): Promise<PolledModel> {
    const lists = await Promise.all(this.paths.map(subdirectories));
    // A name from a request is only ever compared: it never becomes part of a path by itself.
    const holders = this.paths.filter((_, index) => lists[index]?.includes(name));
    const [holder] = holders;
    if (holder === undefined) throw new ModelNotFound('model not found in any model repository.');
    if (holders.length > 1) throw new PollError('model is found in more than one model repository.');
    const directory = join(holder, name);
    const versions = await versionDirectories(directory);
    const configText = await readIfThere(join(directory, CONFIG));
    const settingsText = await readIfThere(join(directory, SETTINGS));
    const config = await this.configOf(name, directory, configText, versions);
    return {
      name,
      versions: chosenVersions(versions, config.version_policy),
      config,
      configStamp: await stamp(join(directory, CONFIG)),
      filesTime: await filesTime(directory),
      settings: () =>
        settingsText === undefined ? this.defaults : parseSettings(settingsText, this.defaults),
    };
  }

  private async configOf(
    name: string,
    directory: string,
    text: string | undefined,
    versions: readonly string[],
  ): Promise<ModelConfig> {
    if (text === undefined) {
      const contents = await Promise.all(versions.map((version) => readdir(join(directory, version))));
      if (contents.flat().includes('model.py')) return completedConfig(name);
      throw new PollError(
        `Invalid model name: Could not determine backend for model '${name}' with no backend in model configuration. Expected model name of the form 'model.<backend_name>'.`,
      );
    }
    const config = parsed(text, join(directory, CONFIG));
    if (config.name !== '' && config.name !== name) {
      throw new PollError(
        `unexpected directory name '${name}' for model '${config.name}', directory name must equal model name`,
      );
    }
    const named = { ...config, name };
    const problem = ensembleProblem(named);
    if (problem !== undefined) throw new PollError(problem);
    return named;
  }
}

function parsed(text: string, path: string): ModelConfig {
  try {
    return parseModelConfig(text);
  } catch (error) {
    if (!(error instanceof TextFormatError)) throw error;
    throw new UnreadableConfig(path, `Error parsing text-format inference.ModelConfig: ${error.message}`);
  }
}

function chosenVersions(present: readonly string[], policy: VersionPolicy): string[] {
  if ('all' in policy) return [...present];
  if ('specific' in policy) {
    const wanted = policy.specific.versions;
    return present.filter((version) => wanted.includes(Number(version)));
  }
  return present.slice(-policy.latest.num_versions);
}

async function subdirectories(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true });
  const names = await Promise.all(
    entries.map(async (entry) =>
      entry.isDirectory() || (entry.isSymbolicLink() && (await isDirectory(join(path, entry.name))))
        ? [entry.name]
        : [],
    ),
  );
  return names.flat();
}

async function versionDirectories(directory: string): Promise<string[]> {
  const names = await subdirectories(directory);
  return names.filter((name) => /^[1-9]\d*$/.test(name)).sort((a, b) => Number(a) - Number(b));
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

async function stamp(path: string): Promise<string> {
  return stat(path, { bigint: true }).then(
    (found) => `${found.mtimeNs}/${found.size}`,
    () => 'absent',
  );
}

/** The model's own directory has no part in it: replacing `config.pbtxt` there changes its time. */
async function filesTime(directory: string): Promise<bigint> {
  const names = await readdir(directory, { recursive: true });
  const others = names.filter((name) => name !== CONFIG);
  const times = await Promise.all(others.map(async (name) => modificationTime(join(directory, name))));
  return times.reduce((latest, time) => (time > latest ? time : latest), 0n);
}

async function modificationTime(path: string): Promise<bigint> {
  return stat(path, { bigint: true }).then(
    (found) => found.mtimeNs,
    () => 0n,
  );
}
