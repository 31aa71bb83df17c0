import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NotDurableError, replaceFile, syncDirectory } from '../../src/common/durable-file.js';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mic-durable-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

const failing = (code: string) => () => Promise.reject(Object.assign(new Error(`${code}: fsync`), { code }));

describe('a file that is replaced durably', () => {
  it('is whole, and alone in its directory, which can be synced', async () => {
    const path = join(directory, 'file');
    await replaceFile(path, 'one\n', 0o600);
    await replaceFile(path, 'two\n', 0o600);
    expect(await readFile(path, 'utf8')).toBe('two\n');
    expect(await readdir(directory)).toEqual(['file']);
  });

  it.each(['EIO', 'ENOSPC', 'EDQUOT'])('is not durable when the sync fails with %s', async (code) => {
    const path = join(directory, 'file');
    const failed = replaceFile(path, 'one\n', 0o600, failing(code));
    await expect(failed).rejects.toThrow(NotDurableError);
    await expect(failed).rejects.toThrow(`${code}: fsync`);
  });

  it('fails as the write does, before any sync', async () => {
    const failed = replaceFile(join(directory, 'missing/file'), 'one\n', 0o600, failing('EIO'));
    await expect(failed).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('the sync of a directory', () => {
  const opening =
    (code: string | undefined, closed: string[] = []) =>
    () =>
      Promise.resolve({
        sync: code === undefined ? () => Promise.resolve() : failing(code),
        close: () => {
          closed.push('closed');
          return Promise.resolve();
        },
      });

  it.each(['EINVAL', 'ENOTSUP', 'ENOSYS'])(
    'is no matter on a file system that syncs no directories: %s',
    async (code) => {
      const closed: string[] = [];
      await expect(syncDirectory(directory, opening(code, closed))).resolves.toBeUndefined();
      expect(closed).toEqual(['closed']);
    },
  );

  it('that fails is an error, and the directory is closed again', async () => {
    const closed: string[] = [];
    await expect(syncDirectory(directory, opening('EIO', closed))).rejects.toThrow('EIO');
    expect(closed).toEqual(['closed']);
  });

  it('of one that is gone is an error', async () => {
    await expect(syncDirectory(join(directory, 'missing'))).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
