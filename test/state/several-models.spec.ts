import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DesiredDeployment } from '../../src/state/desired-state.js';
import { DesiredStateStore } from '../../src/state/desired-state.store.js';
import { recordingLogger, testConfig } from '../fakes/house.js';
import { desired } from '../fakes/memory-store.js';

const A = desired('A', [{ gpu_id: 0, wanted: 'serve' }]);
const B = desired('B', [{ gpu_id: 1, wanted: 'release' }]);
const C = desired('C', []);
const OTHER_A = { ...A, placements: [] };

let directory: string;
let file: string;
let store: DesiredStateStore;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mic-state-'));
  file = join(directory, 'desired-state.json');
  store = open();
  await store.load();
  await store.putAll(changes(['A', A], ['B', B]));
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

type Change = readonly [string, DesiredDeployment | undefined];

const changes = (...all: readonly Change[]): Map<string, DesiredDeployment | undefined> => new Map(all);
const open = (): DesiredStateStore =>
  new DesiredStateStore({ ...testConfig(), state: { dir: directory } }, recordingLogger().logger);

/** What the next run of the service will read. */
const onDisk = (): Promise<readonly DesiredDeployment[]> => open().load();

/** Where the state goes, there is a directory: nothing can be renamed over it. */
async function block(): Promise<void> {
  await rm(file, { force: true });
  await mkdir(file);
}

describe('changes of several models at once', () => {
  it('are on disk together, whoever reads it meanwhile', async () => {
    const together = store.putAll(changes(['A', undefined], ['B', undefined], ['C', C]));
    for (let read = 0; read < 20; read += 1) expect([[A, B], [C]]).toContainEqual(await onDisk());
    await together;
    await expect(onDisk()).resolves.toEqual([C]);
  });

  it.each<[string, Change[]]>([
    ['a change', [['A', OTHER_A]]],
    ['a removal', [['B', undefined]]],
    ['a new model', [['C', C]]],
    [
      'all of these',
      [
        ['A', OTHER_A],
        ['B', undefined],
        ['C', C],
      ],
    ],
  ])('that cannot be written are of none of them, also for later writes: %s', async (_name, all) => {
    await block();
    await expect(store.putAll(changes(...all))).rejects.toMatchObject({
      code: 'STATE_WRITE_FAILED',
      facts: { models: all.map(([model]) => model) },
    });
    await rm(file, { recursive: true });
    await store.put('D', desired('D', []));
    const read = await onDisk();
    expect(read).toHaveLength(3);
    expect(read).toEqual(expect.arrayContaining([A, B, desired('D', [])]));
    expect(await readdir(directory)).toEqual(['desired-state.json']);
  });

  it('can be put again after a write that has failed', async () => {
    await block();
    await expect(store.putAll(changes(['A', OTHER_A], ['C', C]))).rejects.toThrow();
    await rm(file, { recursive: true });
    await store.putAll(changes(['A', OTHER_A], ['B', undefined]));
    await expect(onDisk()).resolves.toEqual([OTHER_A]);
  });

  it('fail with what is written with them, and each undoes its own', async () => {
    await block();
    const outcomes = await Promise.allSettled([
      store.putAll(changes(['A', undefined], ['C', C])),
      store.putAll(changes(['B', undefined], ['D', desired('D', [])])),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    await rm(file, { recursive: true });
    await store.putAll(changes());
    const read = await onDisk();
    expect(read).toHaveLength(2);
    expect(read).toEqual(expect.arrayContaining([A, B]));
  });
});
