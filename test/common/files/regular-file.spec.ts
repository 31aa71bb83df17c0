import { mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isWithin, readRegular, readRegularSync } from '../../../src/common/files/regular-file.js';

let directory: string;
let file: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mic-file-'));
  file = join(directory, 'file');
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

const READS = [
  ['readRegular', readRegular],
  [
    'readRegularSync',
    (...of: Parameters<typeof readRegularSync>) => Promise.resolve().then(() => readRegularSync(...of)),
  ],
] as const;

describe.each(READS)('%s', (_name, read) => {
  it.each(['', 'text', 'größer 模型', 'x'.repeat(200_000)])('has the text of a file', async (text) => {
    writeFileSync(file, text);
    await expect(read(file)).resolves.toBe(text);
  });

  it('refuses a directory, a device and a socket', async () => {
    await expect(read(directory)).rejects.toMatchObject({ code: 'EISDIR' });
    await expect(read('/dev/zero')).rejects.toThrow('/dev/zero is a device, and no regular file');
    const server = createServer().listen(file);
    await once(server, 'listening');
    await expect(read(file)).rejects.toThrow(`${file} is a socket, and no regular file`);
    server.close();
    await once(server, 'close');
  });

  it('refuses what is larger than it may be, and reads none of it', async () => {
    writeFileSync(file, '');
    truncateSync(file, 1001);
    await expect(read(file, { maxBytes: 1000 })).rejects.toThrow(
      'has 1001 bytes, more than the 1000 that are read',
    );
    truncateSync(file, 2 ** 40);
    await expect(read(file)).rejects.toThrow('more than the 67108864 that are read');
  });

  it('says of a file that is not there what the system says', async () => {
    await expect(read(file)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('a file that has to lie in a directory', () => {
  it('is no link', async () => {
    writeFileSync(join(directory, 'target'), 'text');
    symlinkSync('target', file);
    await expect(readRegular(file)).resolves.toBe('text');
    await expect(readRegular(file, { directory })).rejects.toMatchObject({ code: 'ELOOP' });
  });

  const onLinux = process.platform === 'linux' ? it : it.skip;
  onLinux('is looked at where it is, once it is open: its directory may have become a link', async () => {
    const outside = mkdtempSync(join(tmpdir(), 'mic-outside-'));
    writeFileSync(join(outside, 'file'), 'secret');
    symlinkSync(outside, join(directory, 'model'));
    const path = join(directory, 'model/file');
    await expect(readRegular(path, { directory })).rejects.toThrow(`${path} leads out of ${directory}`);
    rmSync(outside, { recursive: true });
  });
});

it.each([
  ['/srv/models/MAM', '/srv/models', true],
  ['/srv/models', '/srv/models', true],
  ['/srv/models/..MAM', '/srv/models', true],
  ['/srv/models-2/MAM', '/srv/models', false],
  ['/srv', '/srv/models', false],
  ['/etc', '/', true],
])('%s is within %s: %s', (path, directoryOf, isIt) => {
  expect(isWithin(path, directoryOf)).toBe(isIt);
});
