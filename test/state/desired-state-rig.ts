import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DesiredStateStore } from '../../src/state/desired-state.store.js';
import { recordingLogger, testConfig } from '../fakes/house.js';
import { desired } from '../fakes/memory-store.js';

/** Of the case that runs. */
export let directory: string;
export let file: string;

export type Sync = (directory: string) => Promise<void>;

export function open(
  dir = directory,
  sync?: Sync,
): { store: DesiredStateStore; lines: Record<string, unknown>[] } {
  const { logger, lines } = recordingLogger();
  return { store: new DesiredStateStore({ ...testConfig(), state: { dir } }, logger, sync), lines };
}

export const A = desired('A', [{ gpu_id: 0, wanted: 'serve' }]);
export const B = desired('B', [
  { gpu_id: 1, wanted: 'release' },
  { gpu_id: 2, wanted: 'failed', error: { code: 'X', message: 'why', log: ['last'] } },
]);

/** What the next run of the service will read. */
export const onDisk = () => open().store.load();

/** Each case has an empty directory for the state. */
export function useDirectory(): void {
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'mic-state-'));
    file = join(directory, 'desired-state.json');
  });
  afterEach(async () => {
    await rm(directory, { recursive: true, force: true });
  });
}
