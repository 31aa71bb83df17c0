import {
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RepositoryFiles } from '../../../src/runners/triton/repository-files.js';

let base: string;
let root: string;
let files: RepositoryFiles;

beforeEach(async () => {
  base = await realpath(await mkdtemp(join(tmpdir(), 'mic-links-')));
  root = join(base, 'repository');
  files = new RepositoryFiles(root);
  await mkdir(join(root, 'A'), { recursive: true });
  await mkdir(join(base, 'outside'));
});
afterEach(() => rm(base, { recursive: true }));

describe('files of a model repository', () => {
  it('are read and written also where the repository itself is a link', async () => {
    await symlink(root, join(base, 'link'));
    const linked = new RepositoryFiles(join(base, 'link'));
    await linked.replace('A', 'x', 'text');
    await expect(linked.read('A', 'x')).resolves.toBe('text');
    await linked.remove('A', 'x');
    expect(await readdir(join(root, 'A'))).toEqual([]);
  });

  it('keep their permissions when they are replaced, without those that make a program run as another', async () => {
    await writeFile(join(root, 'A/x'), 'old', { mode: 0o640 });
    await files.replace('A', 'x', 'new');
    expect((await stat(join(root, 'A/x'))).mode & 0o7777).toBe(0o640);
    await files.replace('A', 'y', 'new');
    expect((await stat(join(root, 'A/y'))).mode & 0o444).toBe(0o444);
  });

  it.each(['the file itself', 'the file, by a chain of links', 'the directory', 'the directory above'])(
    'are not read, written or removed through a link out of the repository: %s',
    async (which) => {
      const outside = join(base, 'outside');
      await writeFile(join(outside, 'x'), 'secret');
      if (which === 'the directory') {
        await rm(join(root, 'A'), { recursive: true });
        await symlink(outside, join(root, 'A'));
      } else if (which === 'the directory above') {
        await symlink('../../..', join(root, 'A/up'));
        await rm(join(root, 'A'), { recursive: true });
        await symlink('../outside', join(root, 'A'));
      } else if (which === 'the file itself') {
        await symlink(join(outside, 'x'), join(root, 'A/x'));
      } else {
        await symlink('y', join(root, 'A/x'));
        await symlink('../../outside/x', join(root, 'A/y'));
      }
      await expect(files.read('A', 'x')).rejects.toThrow('leads out of the model repository');
      await expect(files.replace('A', 'x', 'new')).rejects.toThrow(/leads out of|is a link/);
      await expect(files.checkReplaceable('A', 'x')).rejects.toThrow(/leads out of|is a link/);
      await files.remove('A', 'x').catch(() => undefined);
      expect(await readFile(join(outside, 'x'), 'utf8')).toBe('secret');
      expect(await readdir(outside)).toEqual(['x']);
    },
  );

  it('are never written through a link, not even one within the repository', async () => {
    await writeFile(join(root, 'A/target'), 'old');
    await symlink('target', join(root, 'A/x'));
    await expect(files.replace('A', 'x', 'new')).rejects.toThrow(
      `${root}/A/x is a link, and this service writes a file there`,
    );
    await files.remove('A', 'x');
    expect((await lstat(join(root, 'A/x'))).isSymbolicLink()).toBe(true);
    expect(await readFile(join(root, 'A/target'), 'utf8')).toBe('old');
    await expect(files.read('A', 'x')).resolves.toBe('old');
  });

  it('leave no other file behind where they cannot be replaced', async () => {
    await mkdir(join(root, 'A/x'));
    await expect(files.replace('A', 'x', 'new')).rejects.toMatchObject({ code: 'EISDIR' });
    expect(await readdir(join(root, 'A'))).toEqual(['x']);
  });

  const onLinux = process.platform === 'linux' ? it : it.skip;
  onLinux('are in the repository also when somebody exchanges their directory all the time', async () => {
    const outside = join(base, 'outside');
    await writeFile(join(outside, 'x'), 'secret');
    await writeFile(join(root, 'A/x'), 'own');
    await symlink(outside, join(root, 'L'));
    let isOver = false;
    const exchange = async (): Promise<void> => {
      while (!isOver) {
        await rename(join(root, 'A'), join(root, 'B'));
        await rename(join(root, 'L'), join(root, 'A'));
        await rename(join(root, 'A'), join(root, 'L'));
        await rename(join(root, 'B'), join(root, 'A'));
        await sleep(1);
      }
    };
    const exchanging = exchange();
    const read: string[] = [];
    for (let round = 0; round < 300; round += 1) {
      await files.read('A', 'x').then(
        (text) => read.push(text),
        () => undefined,
      );
      await files.replace('A', 'x', 'own').catch(() => undefined);
    }
    isOver = true;
    await exchanging;
    expect(read.filter((text) => text !== 'own')).toEqual([]);
    expect(await readdir(outside)).toEqual(['x']);
    expect(await readFile(join(outside, 'x'), 'utf8')).toBe('secret');
  });
});
