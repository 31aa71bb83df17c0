import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { canonicalJson } from '../../src/common/canonical-json.js';
import { GpuMemoryStore } from '../../src/state/gpu-memory.store.js';
import { FakeClock } from '../fakes/fake-clock.js';
import { recordingLogger } from '../fakes/house.js';

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'mic-memory-'));
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

async function opened(stateDir = dir): Promise<{ store: GpuMemoryStore; lines: Record<string, unknown>[] }> {
  const { logger, lines } = recordingLogger();
  const store = new GpuMemoryStore(new FakeClock(), { state: { dir: stateDir } }, logger);
  await store.onModuleInit();
  return { store, lines };
}

describe('what was learned of GPU memory', () => {
  it('is there again after a restart, by model and options, in whatever order these are', async () => {
    const { store } = await opened();
    store.learn('A', { a: 1, b: { d: 2, c: 3 } }, 100.2);
    store.learn('A', { a: 2 }, 50);
    store.learn('A', { a: 2 }, 40);
    await store.settled();
    const again = (await opened()).store;
    expect(again.peakOf('A', { b: { c: 3, d: 2 }, a: 1 })).toBe(101);
    expect(again.peakOf('A', { a: 2 })).toBe(50);
    expect(again.peakOf('A', {})).toBeUndefined();
    expect(again.peakOf('B', { a: 2 })).toBeUndefined();
  });

  it('is bounded per model: the options whose peak grew last are kept', async () => {
    const { store } = await opened();
    store.learn('B', { n: 0 }, 7);
    for (let n = 0; n < 40; n += 1) store.learn('A', { n }, 10 + n);
    await store.settled();
    const file = JSON.parse(await readFile(join(dir, 'gpu-memory.json'), 'utf8')) as { peaks: unknown[] };
    expect(file.peaks).toHaveLength(17);
    expect(store.peakOf('A', { n: 39 })).toBe(49);
    expect(store.peakOf('A', { n: 0 })).toBeUndefined();
    expect(store.peakOf('B', { n: 0 })).toBe(7);
  });

  it.each(['', '{', '{"version":2,"peaks":[]}', '{"version":1,"peaks":[{"model_name":"A"}]}', 'null'])(
    'is set aside where the file is %j, and learned anew',
    async (text) => {
      await writeFile(join(dir, 'gpu-memory.json'), text);
      const { store, lines } = await opened();
      expect(lines[0]).toMatchObject({ msg: 'What was learned of GPU memory cannot be read' });
      store.learn('A', {}, 5);
      await store.settled();
      const files = (await readdir(dir)).sort();
      expect(files).toHaveLength(2);
      expect(files[1]).toMatch(/^gpu-memory\.json\.unreadable-/);
      expect((await opened()).store.peakOf('A', {})).toBe(5);
    },
  );

  it('counts though it cannot be written, and costs a line in the log', async () => {
    const { store, lines } = await opened(join(dir, 'gone'));
    store.learn('A', {}, 5);
    await store.settled();
    expect(store.peakOf('A', {})).toBe(5);
    expect(lines).toMatchObject([{ msg: 'What was learned of GPU memory cannot be written' }]);
  });

  it('knows the same options by one key', () => {
    expect(canonicalJson({ b: [2, 1], a: undefined })).toBe(canonicalJson({ b: [2, 1] }));
    expect(canonicalJson({ b: [2, 1] })).not.toBe(canonicalJson({ b: [1, 2] }));
  });
});
