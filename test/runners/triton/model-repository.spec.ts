import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ModelRepository } from '../../../src/runners/triton/model-repository.js';

const PLACES = [{ gpuId: 0, visibleIndex: 0 }];
let root: string;
let repository: ModelRepository;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'mic-repository-'));
  repository = new ModelRepository(root);
  await mkdir(join(root, 'A/1'), { recursive: true });
  await writeFile(join(root, 'A/config.pbtxt.template'), 'name: "A"\nbackend: "python"\n\n');
});
afterEach(() => rm(root, { recursive: true }));

const config = () => readFile(join(root, 'A/config.pbtxt'), 'utf8');
const template = (text: string) => writeFile(join(root, 'A/config.pbtxt.template'), text);

describe('the model repository', () => {
  it('has config.pbtxt made from the template, and the instances added', async () => {
    await repository.writeConfig('A', PLACES, 4);
    expect(await config()).toBe(
      '# Generated from config.pbtxt.template: edit that file instead.\n' +
        'name: "A"\nbackend: "python"\n' +
        'instance_group [\n  { name: "gpu_0" count: 4 kind: KIND_GPU gpus: [ 0 ] }\n]\n',
    );
    expect((await readdir(join(root, 'A'))).sort()).toEqual(['1', 'config.pbtxt', 'config.pbtxt.template']);
  });

  it('is not touched where the config says the same already', async () => {
    await repository.writeConfig('A', PLACES, 4);
    const long_ago = new Date('2020-01-01');
    await utimes(join(root, 'A/config.pbtxt'), long_ago, long_ago);
    await repository.writeConfig('A', PLACES, 4);
    expect((await stat(join(root, 'A/config.pbtxt'))).mtime).toEqual(long_ago);
    await repository.writeConfig('A', PLACES, 5);
    expect((await stat(join(root, 'A/config.pbtxt'))).mtime).not.toEqual(long_ago);
  });

  it('gets a new config in one step: the old file is never written into', async () => {
    await repository.writeConfig('A', PLACES, 4);
    const before = await stat(join(root, 'A/config.pbtxt'));
    await repository.writeConfig('A', PLACES, 5);
    expect((await stat(join(root, 'A/config.pbtxt'))).ino).not.toBe(before.ino);
  });

  it('loses the config, once or twice', async () => {
    await repository.writeConfig('A', PLACES, 4);
    await repository.removeConfig('A');
    await repository.removeConfig('A');
    expect(await readdir(join(root, 'A'))).not.toContain('config.pbtxt');
  });

  it('passes its check with a good template, and nothing is written by it', async () => {
    await expect(repository.check('A')).resolves.toBeUndefined();
    expect(await readdir(join(root, 'A'))).not.toContain('config.pbtxt');
  });

  it.each([
    [
      'an instance_group of its own',
      'name: "A"\ninstance_group [ { count: 1 } ]',
      /has an instance_group of its own/,
    ],
    ['a string that is not closed', 'name: "A', /is not valid: a string is not closed/],
    ['a bracket that is not closed', 'input [ {', /is not valid: a bracket is not closed/],
  ])('refuses a template with %s', async (_name, text, message) => {
    await template(text);
    await expect(repository.check('A')).rejects.toThrow(message);
    await expect(repository.writeConfig('A', PLACES, 1)).rejects.toThrow(
      /^Could not generate config for model A: /,
    );
    expect(await readdir(join(root, 'A'))).not.toContain('config.pbtxt');
  });

  it('says what to do where there is no template', async () => {
    await expect(repository.check('B')).rejects.toMatchObject({
      code: 'MODEL_CONFIG_FAILED',
      message: `Could not generate config for model B: ${root}/B/config.pbtxt.template does not exist: create it.`,
    });
  });

  it('says so where the config cannot be written or removed', async () => {
    await mkdir(join(root, 'A/config.pbtxt'));
    await expect(repository.writeConfig('A', PLACES, 1)).rejects.toThrow(
      /config\.pbtxt cannot be written: .*EISDIR/,
    );
    await expect(repository.removeConfig('A')).rejects.toThrow(/config\.pbtxt cannot be removed: /);
  });
});
