import { pino } from 'pino';
import type { GpuCordonsRecord } from '../../src/state/gpu-cordons.js';
import { GpuCordonsStore } from '../../src/state/gpu-cordons.store.js';
import { StateWriteError } from '../../src/state/desired-state.store.js';

/** The cordons without a disk; it can be full. */
export class MemoryCordonsStore extends GpuCordonsStore {
  saved: GpuCordonsRecord = { cordons: [], acknowledged: [] };
  isFull = false;

  constructor() {
    super({ state: { dir: '/nowhere' } }, pino({ enabled: false }));
  }

  override load(): Promise<GpuCordonsRecord> {
    return Promise.resolve(this.saved);
  }

  override async save(record: GpuCordonsRecord): Promise<void> {
    await Promise.resolve();
    if (this.isFull) throw new StateWriteError('Cannot write the cordons: the disk is full.');
    this.saved = structuredClone(record);
  }
}
