import {
  NvmlCode,
  type Nvml,
  type NvmlDevice,
  type NvmlEventSet,
  type NvmlMemory,
  type NvmlProcess,
  type NvmlProcessKind,
  type NvmlRemappedRows,
  type NvmlResult,
  type NvmlXid,
} from '../../src/gpus/nvml/nvml.js';

export const MIB = 2 ** 20;

export function ok<T>(value: T): NvmlResult<T> {
  return { ok: true, value };
}

export function fails(code: number): { readonly ok: false; readonly code: number } {
  return { ok: false, code };
}

/** One healthy GPU after another; a test overrides the calls it is about. */
export class FakeNvml implements Nvml {
  count = 1;
  lists: Partial<Record<NvmlProcessKind, NvmlProcess[]>> = {};

  init(): number {
    return NvmlCode.SUCCESS;
  }
  errorString(code: number): string {
    return `text of ${code}`;
  }
  deviceCount(): NvmlResult<number> {
    return ok(this.count);
  }
  device(index: number): NvmlResult<NvmlDevice> {
    return ok(BigInt(index));
  }
  uuid(device: NvmlDevice): NvmlResult<string> {
    return ok(`GPU-${device}`);
  }
  name(_device: NvmlDevice): NvmlResult<string> {
    return ok('NVIDIA Fake');
  }
  memory(_device: NvmlDevice): NvmlResult<NvmlMemory> {
    return ok({ total: 1000 * MIB, used: 250 * MIB });
  }
  utilization(_device: NvmlDevice): NvmlResult<number> {
    return ok(37);
  }
  temperature(_device: NvmlDevice): NvmlResult<number> {
    return ok(54);
  }
  powerUsage(_device: NvmlDevice): NvmlResult<number> {
    return ok(150_740);
  }
  powerLimit(_device: NvmlDevice): NvmlResult<number> {
    return ok(350_000);
  }
  processes(_device: NvmlDevice, kind: NvmlProcessKind): NvmlResult<readonly NvmlProcess[]> {
    return ok(this.lists[kind] ?? []);
  }
  clockReasons(_device: NvmlDevice): NvmlResult<number> {
    return ok(0x1);
  }
  uncorrectedErrors(_device: NvmlDevice): NvmlResult<number> {
    return ok(0);
  }
  remappedRows(_device: NvmlDevice): NvmlResult<NvmlRemappedRows> {
    return ok({ isPending: false, hasFailed: false });
  }
  retiredPagesPending(_device: NvmlDevice): NvmlResult<boolean> {
    return ok(false);
  }
  createEventSet(): NvmlResult<NvmlEventSet> {
    return ok(1n);
  }
  registerXids(_device: NvmlDevice, _set: NvmlEventSet): number {
    return NvmlCode.SUCCESS;
  }
  nextXid(_set: NvmlEventSet, _timeoutMs: number): Promise<NvmlResult<NvmlXid>> {
    return new Promise(() => undefined);
  }
  processName(_pid: number): NvmlResult<string> {
    return fails(NvmlCode.NOT_FOUND);
  }
}
