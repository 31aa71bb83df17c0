import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StateWriteError } from '../../src/state/desired-state.store.js';
import type { GpuCordonsRecord } from '../../src/state/gpu-cordons.js';
import { GpuCordonsStore } from '../../src/state/gpu-cordons.store.js';
import { recordingLogger } from '../fakes/house.js';

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'mic-cordons-'));
});
afterEach(async () => {
  await chmod(dir, 0o700);
  await rm(dir, { recursive: true, force: true });
});

function storeIn(stateDir = dir): { store: GpuCordonsStore; lines: Record<string, unknown>[] } {
  const { logger, lines } = recordingLogger();
  return { store: new GpuCordonsStore({ state: { dir: stateDir } }, logger), lines };
}

const RECORD: GpuCordonsRecord = {
  cordons: [
    { gpu_uuid: 'GPU-a', gpu_id: 0, reason: 'Xid 79', by: 'service', since: '2026-01-02T03:04:05.000Z' },
    {
      ...{ gpu_uuid: null, gpu_id: 1, reason: 'hot', by: 'service', since: '2026-01-02T03:04:05.000Z' },
      passes: true,
    },
  ],
  acknowledged: [{ gpu_uuid: 'GPU-b', faults: { ecc: 3 } }],
};

describe('the cordons of the GPUs on disk', () => {
  it('are there again, also where the directory was not', async () => {
    const stateDir = join(dir, 'new');
    await storeIn(stateDir).store.save(RECORD);
    const { store, lines } = storeIn(stateDir);
    expect(await store.load()).toMatchObject(RECORD);
    expect(lines).toEqual([]);
  });

  it('are none where there is no file, without a word', async () => {
    const { store, lines } = storeIn();
    expect(await store.load()).toEqual({ cordons: [], acknowledged: [] });
    expect(lines).toEqual([]);
  });

  it.each(['', '{', 'null', '{"version":2,"cordons":[],"acknowledged":[]}'])(
    'are set aside where the file is %j, with an error in the log',
    async (text) => {
      await writeFile(join(dir, 'gpu-cordons.json'), text);
      const { store, lines } = storeIn();
      expect(await store.load()).toEqual({ cordons: [], acknowledged: [] });
      expect(lines).toMatchObject([{ level: 50 }]);
      expect(await readdir(dir)).toEqual([expect.stringMatching(/^gpu-cordons\.json\.unreadable-/)]);
    },
  );

  it('that cannot be written are refused, and the file stays as it was', async () => {
    const { store } = storeIn();
    await store.save(RECORD);
    const file = join(dir, 'file');
    await writeFile(file, '');
    await expect(storeIn(file).store.save(RECORD)).rejects.toThrow(StateWriteError);
    expect(await store.load()).toMatchObject(RECORD);
  });
});
