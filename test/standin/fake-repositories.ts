import { parseModelConfig } from '../../standin/tritonserver/model-config.js';
import { ModelNotFound, type PolledModel } from '../../standin/tritonserver/repository.js';
import { defaultSettings, type StandinSettings } from '../../standin/tritonserver/standin-settings.js';

interface FakeModel {
  config: string;
  versions: string[];
  settings: StandinSettings;
  configWrites: number;
  fileWrites: number;
}

/** Model repositories in memory. */
export class FakeRepositories {
  private readonly models = new Map<string, FakeModel>();

  /** Writes a model with `instances` as its `instance_group`. */
  write(name: string, instances: string, settings: Partial<StandinSettings> = {}, versions = ['1']): void {
    const config = `backend: "python" instance_group ${instances}`;
    this.models.set(name, {
      config,
      versions,
      settings: { ...defaultSettings({}), ...settings },
      configWrites: 0,
      fileWrites: 0,
    });
  }

  /** Writes a model with a `config.pbtxt` of its own; it loads and unloads as by default. */
  writeConfig(name: string, config: string): void {
    this.write(name, '[]');
    this.get(name).config = config;
  }

  /** Writes `config.pbtxt` again, and nothing else. */
  rewriteConfig(name: string, instances: string): void {
    const model = this.get(name);
    model.config = `backend: "python" instance_group ${instances}`;
    model.configWrites += 1;
  }

  /** Writes one of the other files, such as `standin.json`. */
  rewriteFiles(name: string, settings: Partial<StandinSettings> = {}): void {
    const model = this.get(name);
    model.settings = { ...model.settings, ...settings };
    model.fileWrites += 1;
  }

  remove(name: string): void {
    this.models.delete(name);
  }

  names(): Promise<string[]> {
    return Promise.resolve([...this.models.keys()].sort());
  }

  poll(name: string): Promise<PolledModel> {
    const model = this.models.get(name);
    if (!model) return Promise.reject(new ModelNotFound('model not found in any model repository.'));
    return Promise.resolve({
      name,
      versions: model.versions,
      config: { ...parseModelConfig(model.config), name },
      configStamp: String(model.configWrites),
      filesTime: BigInt(model.fileWrites),
      settings: () => model.settings,
    });
  }

  private get(name: string): FakeModel {
    const model = this.models.get(name);
    if (!model) throw new Error(`no model ${name} in this test`);
    return model;
  }
}
