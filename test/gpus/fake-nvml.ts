import {
  NvmlCode,
  type Nvml,
  type NvmlDevice,
  type NvmlMemory,
  type NvmlProcess,
  type NvmlProcessKind,
  type NvmlResult,
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
  processName(_pid: number): NvmlResult<string> {
    return fails(NvmlCode.NOT_FOUND);
  }
}
