import { beforeEach, describe, expect, it } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Of a Python that will do. */
const GOOD = {
  executable: '/usr/bin/python3',
  version: '3.11',
  library: 'libpython3.11.so.1.0',
  own: '/usr/lib',
  isInstalled: true,
  home: '/usr',
  hasPip: true,
  glibc: '2.36',
};

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'mic-demo-triton-'));
  mkdirSync(join(directory, 'bin'));
});

/** A program on the PATH of the demo, and alone there. */
function install(name: string, script: string): void {
  const file = join(directory, 'bin', name);
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
}

/** A Python that says this of itself, and fails at all else. */
function installPython(answer: Partial<typeof GOOD>, name = 'python3'): void {
  const executable = join(directory, 'bin', name);
  const words = JSON.stringify({ ...GOOD, executable, ...answer });
  install(
    name,
    `[ "$1" = -c ] && echo '${words}' && exit 0\necho "ERROR: no route to the index" >&2\nexit 1`,
  );
}

function demo(...args: string[]): { status: number | null; stderr: string } {
  return run(['scripts/demo-triton.js', ...args]);
}

function run(args: readonly string[]): { status: number | null; stderr: string } {
  return spawnSync(process.execPath, args, {
    encoding: 'utf8',
    env: { PATH: join(directory, 'bin'), XDG_CACHE_HOME: join(directory, 'cache'), TMPDIR: directory },
  });
}

describe.each([
  ['has no Python', (): void => undefined, /needs Python 3\.9 to 3\.12 with pip; python3 is not there/],
  [
    'has too new a Python',
    () => {
      installPython({ version: '3.14' });
    },
    /is Python 3\.14; 3\.12, 3\.11, 3\.10, 3\.9 will do/,
  ],
  [
    'has no pip',
    () => {
      installPython({ hasPip: false });
    },
    /has no pip .*apt-get install python3-pip/,
  ],
  [
    'has a static Python',
    () => {
      installPython({ own: null as never, isInstalled: false });
    },
    /has no libpython3\.11\.so\.1\.0.*apt-get install libpython3\.11/,
  ],
  [
    'has too old a C library',
    () => {
      installPython({ glibc: '2.31' });
    },
    /needs glibc 2\.35 or later .*this host has 2\.31/,
  ],
  [
    'has no network',
    () => {
      installPython({});
    },
    /no route to the index\n.*PyPI could not be reached/s,
  ],
] as const)('a host that %s', (_what, prepare, words) => {
  it('is told so in clear words, and keeps nothing', () => {
    prepare();
    const { status, stderr } = demo();
    expect(stderr).toMatch(words);
    expect(stderr).not.toMatch(/^ +at /m);
    expect(status).toBe(1);
    const kept = readdirSync(directory).includes('cache')
      ? readdirSync(join(directory, 'cache/model-inference-client'))
      : [];
    expect(kept).toEqual([]);
  });
});

describe('the demo of Triton', () => {
  it('takes another Python of the host where the first will not do', () => {
    installPython({ version: '3.14' });
    installPython({}, 'python3.12');
    // It comes as far as the download.
    expect(demo().stderr).toMatch(/PyPI could not be reached/);
  });

  it.each([
    { platform: 'darwin', arch: 'arm64' },
    { platform: 'linux', arch: 'arm64' },
  ])('says where it runs, and what else there is: $platform on $arch', ({ platform, arch }) => {
    const host = `for (const [key, value] of Object.entries(${JSON.stringify({ platform, arch })}))
      Object.defineProperty(process, key, { value });`;
    const { status, stderr } = run([
      '--import',
      `data:text/javascript,${encodeURIComponent(host)}`,
      'scripts/demo-triton.js',
    ]);
    expect(stderr).toMatch(
      new RegExp(`Linux on x86-64 alone, not for ${platform} on ${arch}\\.\nnpm run demo shows`),
    );
    expect(status).toBe(1);
  });

  it.each(['--triton-port=http', '--triton-port=0', '--port=1'])('refuses %s', (argument) => {
    const { status, stderr } = demo(argument);
    expect(stderr).toMatch(/Usage: npm run demo:triton/);
    expect(status).toBe(1);
  });
});
