import { mkdir, readdir, readFile, realpath, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import fc from 'fast-check';
import { pollUntil } from '../../src/common/deadline.js';
import { StateWriteError } from '../../src/state/desired-state.store.js';
import { desired } from '../fakes/memory-store.js';
import { A, B, directory, file, onDisk, open, type Sync, useDirectory } from './desired-state-rig.js';

useDirectory();

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
