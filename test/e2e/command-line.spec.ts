import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { TestService } from '../support/service.js';

const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mic-command-line-'));
});
afterAll(() => rm(directory, { recursive: true }));

/** Runs the program until it ends by itself; one that serves never does, and is killed. */
async function run(
  args: string[],
  config = '',
  more: Readonly<Record<string, string>> = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const file = join(directory, 'config.yaml');
  await writeFile(file, config);
  const env = { ...process.env, MIC_CONFIG: file, MIC_STATE_DIR: join(directory, 'state'), ...more };
  const options = { env, timeout: 10_000, killSignal: 'SIGKILL' } as const;
  try {
    return {
      code: 0,
      ...(await promisify(execFile)(process.execPath, ['dist/server.js', ...args], options)),
    };
  } catch (error) {
    return error as { code: number; stdout: string; stderr: string };
  }
}

describe('the program', () => {
  it.each([
    ['--version', `${version}\n`],
    ['--help', 'Usage: node dist/server.js'],
    ['--check-config', 'The configuration is valid.\n'],
  ])('says with %s what it is asked, and starts nothing', async (option, words) => {
    const end = await run([option]);
    expect(end).toMatchObject({ code: 0, stderr: '' });
    expect(end.stdout.startsWith(words)).toBe(true);
    expect(await readdir(directory)).toEqual(['config.yaml']);
  });

  it('says with --check-config what is wrong', async () => {
    const end = await run(['--check-config'], 'server: { prot: 1 }');
    expect(end).toMatchObject({ code: 1, stdout: '' });
    expect(end.stderr).toBe('The configuration has 1 fault:\n  server: prot is no key: is port meant?\n');
    expect(await readdir(directory)).toEqual(['config.yaml']);
  });

  it('warns with --check-config of a variable that nobody reads', async () => {
    expect(await run(['--check-config'], '', { MIC_PROT: '1' })).toMatchObject({
      code: 0,
      stdout: 'The configuration is valid.\n',
      stderr: 'Warning: MIC_PROT is no variable of this service, and is not read: is MIC_PORT meant?\n',
    });
  });

  it.each([['--chekc-config'], ['serve'], ['--version=1']])(
    'does not start with %s, and says how it is used',
    async (option) => {
      const end = await run([option]);
      expect(end.code).toBe(1);
      expect(end.stderr).toContain('Usage: node dist/server.js');
      expect(await readdir(directory)).toEqual(['config.yaml']);
    },
  );

  it('says its version in the log, and on GET /', async () => {
    const service = await TestService.create();
    try {
      await service.boot();
      const answer = await fetch(`http://127.0.0.1:${service.port}/`);
      expect(answer.headers.get('server')).toBe(`model-inference-client/${version}`);
      expect(service.log).toContain(`"version":"${version}"`);
    } finally {
      await service.dispose();
    }
  });
});
