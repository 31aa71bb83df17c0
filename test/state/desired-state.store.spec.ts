import { mkdir, mkdtemp, readdir, readFile, realpath, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import fc from 'fast-check';
import { pollUntil } from '../../src/common/deadline.js';
import { DesiredStateStore, StateReadError, StateWriteError } from '../../src/state/desired-state.store.js';
import { recordingLogger, testConfig } from '../fakes/house.js';
import { desired } from '../fakes/memory-store.js';

let directory: string;
let file: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mic-state-'));
  file = join(directory, 'desired-state.json');
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

type Sync = (directory: string) => Promise<void>;

function open(dir = directory, sync?: Sync): { store: DesiredStateStore; lines: Record<string, unknown>[] } {
  const { logger, lines } = recordingLogger();
  return { store: new DesiredStateStore({ ...testConfig(), state: { dir } }, logger, sync), lines };
}

const A = desired('A', [{ gpu_id: 0, wanted: 'serve' }]);
const B = desired('B', [
  { gpu_id: 1, wanted: 'release' },
  { gpu_id: 2, wanted: 'failed', error: { code: 'X', message: 'why', log: ['last'] } },
]);

/** What the next run of the service will read. */
const onDisk = () => open().store.load();

describe('the desired state on disk', () => {
  it('is empty at first, and makes its directory', async () => {
    const { store } = open(join(directory, 'a/b'));
    await expect(store.load()).resolves.toEqual([]);
    await store.put('A', A);
    await expect(open(join(directory, 'a/b')).store.load()).resolves.toEqual([A]);
  });

  it('comes back as it was put', async () => {
    const { store } = open();
    await store.load();
    await store.put('A', A);
    await store.put('B', B);
    await expect(onDisk()).resolves.toEqual([A, B]);
    await store.put('A', undefined);
    await expect(onDisk()).resolves.toEqual([B]);
  });

  it('keeps what it has read and nobody has touched', async () => {
    const first = open().store;
    await first.load();
    await first.put('A', A);
    const second = open().store;
    await second.load();
    await second.put('B', B);
    await expect(onDisk()).resolves.toEqual([A, B]);
  });

  it('is there when a put resolves, for each of many at once, and leaves nothing beside itself', async () => {
    const { store } = open();
    await store.load();
    await Promise.all(
      Array.from({ length: 50 }, async (_, index) => {
        const name = `model-${index}`;
        await store.put(name, desired(name, []));
        expect(await readFile(file, 'utf8')).toContain(`"${name}"`);
      }),
    );
    expect(await onDisk()).toHaveLength(50);
    expect(await readdir(directory)).toEqual(['desired-state.json']);
  });

  it('is always whole, whoever reads it in the middle of writes', async () => {
    const { store } = open();
    await store.load();
    await store.put('A', A);
    const writes = Array.from({ length: 30 }, (_, index) => store.put(`m${index}`, desired(`m${index}`, [])));
    for (const write of writes) {
      expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ version: 1 });
      await write;
    }
  });

  it('can be read by its owner alone', async () => {
    const { store } = open();
    await store.load();
    await store.put('A', A);
    const { mode } = await stat(file);
    expect(mode & 0o077).toBe(0);
  });

  it('is after any sequence of puts what was put last', async () => {
    const puts = fc.array(
      fc.record({ model: fc.constantFrom('A', 'B', 'C'), gpuId: fc.option(fc.nat(7), { nil: undefined }) }),
      { maxLength: 12 },
    );
    await fc.assert(
      fc.asyncProperty(puts, async (sequence) => {
        await rm(file, { force: true });
        const { store } = open();
        await store.load();
        const expected = new Map<string, unknown>();
        for (const { model, gpuId } of sequence) {
          const value =
            gpuId === undefined ? undefined : desired(model, [{ gpu_id: gpuId, wanted: 'serve' as const }]);
          if (value) expected.set(model, value);
          else expected.delete(model);
          void store.put(model, value);
        }
        await store.put('last', undefined);
        const read = await onDisk();
        expect(new Map(read.map((deployment) => [deployment.model_name, deployment]))).toEqual(expected);
      }),
      { numRuns: 20 },
    );
  });
});

describe('a write that fails', () => {
  /** Where the state goes, there is a directory: nothing can be renamed over it. */
  async function block(): Promise<void> {
    await rm(file, { force: true });
    await mkdir(file);
  }

  it('is told, and the state is as it was before', async () => {
    const { store } = open();
    await store.load();
    await store.put('A', A);
    await block();
    await expect(store.put('A', { ...A, placements: [] })).rejects.toThrow(StateWriteError);
    await expect(store.put('B', B)).rejects.toMatchObject({ code: 'STATE_WRITE_FAILED' });
    await rm(file, { recursive: true });
    await store.put('C', desired('C', []));
    await expect(onDisk()).resolves.toEqual([A, desired('C', [])]);
  });

  it('fails for all that were written with it, and for nobody after it', async () => {
    const { store } = open();
    await store.load();
    await block();
    const outcomes = await Promise.allSettled([
      store.put('A', A),
      store.put('B', B),
      store.put('C', desired('C', [])),
    ]);
    expect(outcomes.map((outcome) => outcome.status)).toEqual(['rejected', 'rejected', 'rejected']);
    await rm(file, { recursive: true });
    await store.put('D', desired('D', []));
    await expect(onDisk()).resolves.toEqual([desired('D', [])]);
  });

  it('because the directory is gone is told, and the next one works when it is back', async () => {
    const { store } = open();
    await store.load();
    await rm(directory, { recursive: true });
    await expect(store.put('A', A)).rejects.toThrow(StateWriteError);
    await mkdir(directory);
    await store.put('B', B);
    await expect(onDisk()).resolves.toEqual([B]);
  });

  it('leaves nothing half-written beside the state', async () => {
    const { store } = open();
    await store.load();
    await block();
    await expect(store.put('A', A)).rejects.toThrow(StateWriteError);
    expect(await readdir(directory)).toEqual(['desired-state.json']);
  });
});

describe('the directory of the state', () => {
  it('is synced after the rename, and before a put resolves', async () => {
    const synced: { readonly directory: string; readonly text: string }[] = [];
    let finish: () => void = () => undefined;
    const sync: Sync = async (of) => {
      synced.push({ directory: of, text: await readFile(file, 'utf8') });
      await new Promise<void>((resolve) => (finish = resolve));
    };
    const { store } = open(directory, sync);
    await store.load();
    const done = jest.fn();
    const put = store.put('A', A).then(done);
    await pollUntil(() => Promise.resolve(synced.length > 0 || undefined), {
      intervalMs: 5,
      signal: AbortSignal.timeout(5000),
    });
    expect(synced[0]?.directory).toBe(await realpath(directory));
    expect(synced[0]?.text).toContain('"A"');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(done).not.toHaveBeenCalled();
    finish();
    await put;
    expect(synced).toHaveLength(1);
  });

  it('is that of the file, where the path of the state is a link to it', async () => {
    const elsewhere = join(directory, 'elsewhere');
    await mkdir(elsewhere);
    await writeFile(join(elsewhere, 'state.json'), '{ "version": 1, "deployments": [] }');
    await symlink(join(elsewhere, 'state.json'), file);
    const synced: string[] = [];
    const { store } = open(directory, (of) => {
      synced.push(of);
      return Promise.resolve();
    });
    await store.load();
    await store.put('A', A);
    expect(synced).toEqual([await realpath(elsewhere)]);
  });

  it('that cannot be synced fails the put; the state is then as it was before, also for the next run', async () => {
    let isBroken = false;
    const { store } = open(directory, () =>
      isBroken ? Promise.reject(new Error('EIO: i/o error, fsync')) : Promise.resolve(),
    );
    await store.load();
    await store.put('A', A);
    isBroken = true;
    const failed = store.put('B', B);
    await expect(failed).rejects.toThrow(StateWriteError);
    await expect(failed).rejects.toThrow(/EIO: i\/o error, fsync/);
    // The rename was done: the next run must not find what was refused.
    for (let tries = 0; tries < 100 && (await readFile(file, 'utf8')).includes('"B"'); tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await expect(onDisk()).resolves.toEqual([A]);
    isBroken = false;
    await store.put('C', desired('C', []));
    await expect(onDisk()).resolves.toEqual([A, desired('C', [])]);
  });
});

describe('a state file that makes no sense', () => {
  it.each([
    ['is empty', ''],
    ['is truncated', '{ "version": 1, "deployments": [ {'],
    ['is garbage', '\u0000\u0001\u0002'],
    ['is no object', '[]'],
    ['is of a newer version', '{ "version": 2, "deployments": [] }'],
    ['lacks what it must have', '{ "version": 1, "deployments": [ { "model_name": "A" } ] }'],
    [
      'has a GPU that cannot be',
      JSON.stringify({ version: 1, deployments: [{ ...A, placements: [{ gpu_id: -1, wanted: 'serve' }] }] }),
    ],
    ['has a time that is none', JSON.stringify({ version: 1, deployments: [{ ...A, created_at: 'noon' }] })],
  ])('because it %s is set aside, loudly, and nothing is lost of it', async (_name, text) => {
    await writeFile(file, text);
    const { store, lines } = open();
    await expect(store.load()).resolves.toEqual([]);
    const [aside, ...more] = await readdir(directory);
    expect(more).toEqual([]);
    expect(aside).toMatch(/^desired-state\.json\.unreadable-\d{4}-/);
    expect(await readFile(join(directory, String(aside)), 'utf8')).toBe(text);
    expect(lines).toMatchObject([{ level: 50, aside: join(directory, String(aside)) }]);
    await store.put('A', A);
    await expect(onDisk()).resolves.toEqual([A]);
  });

  it('from a newer version is said to be that', async () => {
    await writeFile(file, JSON.stringify({ version: 7, deployments: [A], more: true }));
    const { store, lines } = open();
    await store.load();
    expect(lines).toHaveLength(1);
    expect(lines[0]?.msg).toContain('from a newer version of this service');
    expect(lines[0]?.fault).toContain('its format is 7, this one reads 1');
  });

  it('leaves word, for every run of the service to come, that what runs is to be taken up, until it is', async () => {
    await writeFile(file, 'garbage');
    const first = open().store;
    expect(first.adoption).toBeUndefined();
    await first.load();
    expect(first.adoption).toEqual({ done: [] });
    // Nothing but the file set aside tells a second run.
    const second = open();
    await second.store.load();
    expect(second.store.adoption).toEqual({ done: [] });
    expect(second.lines).toMatchObject([{ level: 50 }]);
    expect(second.lines[0]?.msg).toContain('one that was set aside');
    await second.store.put('A', A);
    await second.store.putAdoption({ done: ['triton'] });
    const third = open();
    await expect(third.store.load()).resolves.toEqual([A]);
    expect(third.store.adoption).toEqual({ done: ['triton'] });
    expect(third.lines).toEqual([]);
    await third.store.putAdoption(undefined);
    const fourth = open().store;
    await expect(fourth.load()).resolves.toEqual([A]);
    expect(fourth.adoption).toBeUndefined();
  });

  it('is not forgotten because the word of its end cannot be written', async () => {
    await writeFile(file, 'garbage');
    const { store } = open();
    await store.load();
    await mkdir(file);
    await expect(store.putAdoption(undefined)).rejects.toThrow(StateWriteError);
    expect(store.adoption).toEqual({ done: [] });
  });

  it('is none that is missing: of that nothing is to be taken up', async () => {
    const { store } = open();
    await store.load();
    expect(store.adoption).toBeUndefined();
  });

  it('holds no model twice: the last one counts', async () => {
    const later = { ...A, placements: [] };
    await writeFile(file, JSON.stringify({ version: 1, deployments: [A, later] }));
    await expect(open().store.load()).resolves.toEqual([later]);
  });
});

describe('a state that cannot be read', () => {
  it('because something else is in its place is an error: it must not be taken for an empty one', async () => {
    await mkdir(file);
    await expect(open().store.load()).rejects.toThrow(StateReadError);
  });

  it('because its directory is a file is an error', async () => {
    await writeFile(join(directory, 'a-file'), '');
    await expect(open(join(directory, 'a-file')).store.load()).rejects.toMatchObject({
      code: 'STATE_READ_FAILED',
    });
  });
});
