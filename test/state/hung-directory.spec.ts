import { jest } from '@jest/globals';
import { StateWriteError } from '../../src/state/desired-state.store.js';
import { stateWork } from '../../src/common/files/file-work.js';
import { syncDirectory } from '../../src/common/durable-file.js';
import { A, B, directory, onDisk, open, useDirectory } from './desired-state-rig.js';

const DEADLINE_MS = 5000;
const RETRY_MS = 1000;

useDirectory();

beforeEach(() => jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask', 'setImmediate'] }));
afterEach(() => jest.useRealTimers());

/** A directory whose disk hangs at the first sync, until it is let go. */
function hungDisk(): { store: ReturnType<typeof open>['store']; hangs: Promise<void>; release: () => void } {
  let release: () => void = () => undefined;
  let begun: () => void = () => undefined;
  const hangs = new Promise<void>((resolve) => (begun = resolve));
  const released = new Promise<void>((resolve) => (release = resolve));
  const { store } = open(directory, async (dir) => {
    begun();
    await released;
    await syncDirectory(dir);
  });
  return { store, hangs, release };
}

async function settled(): Promise<void> {
  while (stateWork.stuck.length > 0) await new Promise(setImmediate);
}

describe('a state directory that hangs', () => {
  it('refuses what was asked for in time, and at once from then on; it is not found there when the disk is back', async () => {
    const { store, hangs, release } = hungDisk();
    const late = expect(store.put('A', A)).rejects.toThrow(/does not answer.*Nothing was changed/);
    await hangs;
    await jest.advanceTimersByTimeAsync(DEADLINE_MS);
    await late;
    expect(stateWork.isStandingStill).toBe(true);
    await expect(store.put('B', B)).rejects.toBeInstanceOf(StateWriteError);
    release();
    await settled();
    await jest.advanceTimersByTimeAsync(RETRY_MS);
    await store.put('B', B);
    await expect(onDisk()).resolves.toEqual([B]);
  });

  it('keeps nothing from being freed: it stands, and is written when the disk is back', async () => {
    const { store, hangs, release } = hungDisk();
    const late = store.keepAll(new Map([['A', A]]));
    await hangs;
    await jest.advanceTimersByTimeAsync(DEADLINE_MS);
    expect((await late)?.message).toContain('does not answer');
    await store.freeAll(new Map([['A', B]]));
    expect(store.unsaved).toContain('does not answer');
    release();
    await settled();
    await jest.advanceTimersByTimeAsync(RETRY_MS);
    while (store.unsaved !== undefined) await new Promise(setImmediate);
    await expect(onDisk()).resolves.toEqual([B]);
  });
});
