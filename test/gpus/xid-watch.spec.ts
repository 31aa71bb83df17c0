import { setImmediate as turn } from 'node:timers/promises';
import { NvmlCode, type NvmlResult, type NvmlXid } from '../../src/gpus/nvml/nvml.js';
import { sampleAll } from '../../src/gpus/nvml/nvml-session.js';
import { XidWatch } from '../../src/gpus/nvml/xid-watch.js';
import { FakeNvml, fails, ok } from './fake-nvml.js';

/** NVML whose Xid errors come when the test says so. */
class XidNvml extends FakeNvml {
  override count = 2;
  readonly registered: bigint[] = [];
  waits = 0;
  private answer: ((result: NvmlResult<NvmlXid>) => void) | undefined;

  override registerXids(device: bigint): number {
    this.registered.push(device);
    return NvmlCode.SUCCESS;
  }
  override nextXid(): Promise<NvmlResult<NvmlXid>> {
    this.waits += 1;
    return new Promise((resolve) => {
      this.answer = resolve;
    });
  }
  async gives(result: NvmlResult<NvmlXid>): Promise<void> {
    this.answer?.(result);
    await turn();
  }
}

describe('the watch for Xid errors', () => {
  it('registers each GPU once, always waits, and tells each error once, with its GPU', async () => {
    const nvml = new XidNvml();
    const watch = new XidWatch(nvml, 1);
    expect(sampleAll(nvml, watch)).not.toHaveProperty('xids');
    await nvml.gives(ok({ device: 1n, xid: 79 }));
    await nvml.gives(fails(NvmlCode.TIMEOUT));
    await nvml.gives(ok({ device: 0n, xid: 13 }));
    await nvml.gives(ok({ device: 9n, xid: 48 })); // nobody knows this GPU
    expect(nvml.waits).toBe(5);
    const xids = [
      { id: 1, xid: 79 },
      { id: 0, xid: 13 },
    ];
    expect(sampleAll(nvml, watch)).toMatchObject({ type: 'sample', xids });
    expect(sampleAll(nvml, watch)).not.toHaveProperty('xids');
    expect(nvml.registered).toEqual([0n, 1n]);
  });

  it('goes on beside a lost GPU, and takes it in when it is there', async () => {
    const nvml = new XidNvml();
    const watch = new XidWatch(nvml, 1);
    let isLost = true;
    nvml.registerXids = (device) => {
      nvml.registered.push(device);
      return isLost && device === 0n ? NvmlCode.GPU_IS_LOST : NvmlCode.SUCCESS;
    };
    watch.watch(2);
    await nvml.gives(fails(NvmlCode.GPU_IS_LOST));
    while (nvml.waits < 2) await turn();
    isLost = false;
    watch.watch(2);
    watch.watch(2);
    expect(nvml.registered).toEqual([0n, 1n, 0n]);
    await nvml.gives(ok({ device: 0n, xid: 48 }));
    expect(watch.heard()).toEqual({ xids: [{ id: 0, xid: 48 }] });
  });

  it.each(['createEventSet', 'registerXids', 'nextXid'] as const)(
    'says once that a driver without %s cannot tell of them, and asks no more',
    async (missing) => {
      const nvml = new XidNvml();
      const code = NvmlCode.FUNCTION_NOT_FOUND;
      if (missing === 'createEventSet') nvml.createEventSet = () => fails(code);
      else if (missing === 'registerXids') nvml.registerXids = () => code;
      else nvml.nextXid = () => Promise.resolve(fails(code));
      const watch = new XidWatch(nvml, 1);
      watch.watch(2);
      await turn();
      expect(watch.heard()).toEqual({ note: expect.stringContaining('cannot be watched') as string });
      watch.watch(2);
      await turn();
      expect(watch.heard()).toEqual({});
    },
  );
});
