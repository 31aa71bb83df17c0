import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A model repository on disk, for one test. */
export class ModelDirectory {
  private constructor(readonly path: string) {}

  static async create(): Promise<ModelDirectory> {
    return new ModelDirectory(await mkdtemp(join(tmpdir(), 'standin-')));
  }

  /** Writes a model that maps INPUT to OUTPUT, four FP32 each. */
  async write(name: string, standin: object = { load_seconds: 0, unload_seconds: 0 }): Promise<void> {
    await mkdir(join(this.path, name, '1'), { recursive: true });
    await this.writeFile(name, 'standin.json', JSON.stringify(standin));
    await this.writeConfig(name, '[ { count: 1 kind: KIND_GPU gpus: [ 0 ] } ]');
  }

  async writeConfig(name: string, instances: string): Promise<void> {
    const tensor = (tensorName: string): string =>
      `{ name: "${tensorName}" data_type: TYPE_FP32 dims: [ 4 ] }`;
    await this.writeFile(
      name,
      'config.pbtxt',
      `name: "${name}" backend: "python" input [ ${tensor('INPUT')} ] output [ ${tensor('OUTPUT')} ]
       instance_group ${instances}`,
    );
  }

  async writeFile(name: string, file: string, text: string): Promise<void> {
    await writeFile(join(this.path, name, file), text);
  }

  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}
