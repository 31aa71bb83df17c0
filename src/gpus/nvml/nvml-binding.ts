import koffi from 'koffi';
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
} from './nvml.js';
import * as layout from './nvml-layouts.js';
import { type FunctionTypes, NvmlLibrary } from './nvml-library.js';

const device = 'void *';
const uint = 'uint32_t';
const outUint = koffi.out(koffi.pointer(uint));
const inoutUint = koffi.inout(koffi.pointer(uint));
const buffer = 'void *';
const eventSet = 'void *';
const outUlong = koffi.out(koffi.pointer('uint64_t'));
const outEventSet = koffi.out(koffi.pointer(eventSet));
const outEventData = koffi.out(koffi.pointer(layout.nvmlEventData));
const outDevice = koffi.out(koffi.pointer(device));
const outUtilization = koffi.out(koffi.pointer(layout.nvmlUtilization));
const outMemoryV1 = koffi.out(koffi.pointer(layout.nvmlMemoryV1));
const inoutMemoryV2 = koffi.inout(koffi.pointer(layout.nvmlMemoryV2));

const PROCESS_SIZE = koffi.sizeof(layout.nvmlProcessInfo);
const FIRST_PROCESS_ROOM = 32;
/** Processes may start between two calls; more than this many times in a row is a broken library. */
const MAX_GROWTHS = 6;

function result<T>(code: number, value: () => T): NvmlResult<T> {
  return code === NvmlCode.SUCCESS ? { ok: true, value: value() } : { ok: false, code };
}

/** NVML through koffi. Pure translation: what a code or a value means is for the reader. */
export class NvmlBinding implements Nvml {
  private processRoom = FIRST_PROCESS_ROOM;

  private constructor(private readonly library: NvmlLibrary) {}

  /** @throws Error with the dynamic linker's words if `path` cannot be loaded, or is not NVML. */
  static load(path: string): NvmlBinding {
    return new NvmlBinding(NvmlLibrary.load(path));
  }

  init(): number {
    return this.library.call('nvmlInit_v2', []);
  }

  errorString(code: number): string {
    return this.library.errorString(code);
  }

  deviceCount(): NvmlResult<number> {
    return this.number('nvmlDeviceGetCount_v2', [], []);
  }

  device(index: number): NvmlResult<NvmlDevice> {
    const out: [NvmlDevice] = [0n];
    return result(
      this.library.call('nvmlDeviceGetHandleByIndex_v2', [uint, outDevice], index, out),
      () => out[0],
    );
  }

  uuid(handle: NvmlDevice): NvmlResult<string> {
    return this.string('nvmlDeviceGetUUID', device, handle);
  }

  name(handle: NvmlDevice): NvmlResult<string> {
    return this.string('nvmlDeviceGetName', device, handle);
  }

  memory(handle: NvmlDevice): NvmlResult<NvmlMemory> {
    const v2 = { version: layout.NVML_MEMORY_V2_VERSION, total: 0, reserved: 0, free: 0, used: 0 };
    const code = this.library.call('nvmlDeviceGetMemoryInfo_v2', [device, inoutMemoryV2], handle, v2);
    if (code !== NvmlCode.FUNCTION_NOT_FOUND && code !== NvmlCode.ARGUMENT_VERSION_MISMATCH) {
      return result(code, () => ({ total: v2.total, used: v2.used }));
    }
    const v1 = { total: 0, free: 0, used: 0 };
    return result(this.library.call('nvmlDeviceGetMemoryInfo', [device, outMemoryV1], handle, v1), () => ({
      total: v1.total,
      used: v1.used,
    }));
  }

  utilization(handle: NvmlDevice): NvmlResult<number> {
    const out = { gpu: 0, memory: 0 };
    return result(
      this.library.call('nvmlDeviceGetUtilizationRates', [device, outUtilization], handle, out),
      () => out.gpu,
    );
  }

  temperature(handle: NvmlDevice): NvmlResult<number> {
    return this.number('nvmlDeviceGetTemperature', [device, 'int'], [handle, layout.NVML_TEMPERATURE_GPU]);
  }

  powerUsage(handle: NvmlDevice): NvmlResult<number> {
    return this.number('nvmlDeviceGetPowerUsage', [device], [handle]);
  }

  /** The limit in force; it can be lower than the one an operator has set. */
  powerLimit(handle: NvmlDevice): NvmlResult<number> {
    return this.number('nvmlDeviceGetEnforcedPowerLimit', [device], [handle]);
  }

  processes(handle: NvmlDevice, kind: NvmlProcessKind): NvmlResult<readonly NvmlProcess[]> {
    for (let growths = 0; ; growths += 1) {
      const room = this.processRoom;
      const infos = Buffer.alloc(room * PROCESS_SIZE);
      const count: [number] = [room];
      const code = this.runningProcesses(handle, kind, count, infos);
      if (code !== NvmlCode.INSUFFICIENT_SIZE || growths === MAX_GROWTHS) {
        return result(code, () => decodeProcesses(infos, Math.min(count[0], room)));
      }
      this.processRoom = Math.max(count[0], room) * 2;
    }
  }

  clockReasons(handle: NvmlDevice): NvmlResult<number> {
    const name = 'nvmlDeviceGetCurrentClocksEventReasons';
    const now = this.ulong(name, [device], [handle]);
    // Before driver 535 they are called so.
    return !now.ok && now.code === NvmlCode.FUNCTION_NOT_FOUND
      ? this.ulong('nvmlDeviceGetCurrentClocksThrottleReasons', [device], [handle])
      : now;
  }

  uncorrectedErrors(handle: NvmlDevice): NvmlResult<number> {
    const types = [device, 'int', 'int'];
    return this.ulong('nvmlDeviceGetTotalEccErrors', types, [
      handle,
      layout.NVML_UNCORRECTED,
      layout.NVML_VOLATILE_ECC,
    ]);
  }

  remappedRows(handle: NvmlDevice): NvmlResult<NvmlRemappedRows> {
    const [pending, failed]: [[number], [number]] = [[0], [0]];
    const types = [device, outUint, outUint, outUint, outUint];
    const code = this.library.call('nvmlDeviceGetRemappedRows', types, handle, [0], [0], pending, failed);
    return result(code, () => ({ isPending: pending[0] !== 0, hasFailed: failed[0] !== 0 }));
  }

  retiredPagesPending(handle: NvmlDevice): NvmlResult<boolean> {
    const pending = this.number('nvmlDeviceGetRetiredPagesPendingStatus', [device], [handle]);
    return pending.ok ? { ok: true, value: pending.value !== 0 } : pending;
  }

  createEventSet(): NvmlResult<NvmlEventSet> {
    const out: [NvmlEventSet] = [0n];
    return result(this.library.call('nvmlEventSetCreate', [outEventSet], out), () => out[0]);
  }

  registerXids(handle: NvmlDevice, set: NvmlEventSet): number {
    const types = [device, 'uint64_t', eventSet];
    return this.library.call('nvmlDeviceRegisterEvents', types, handle, layout.NVML_EVENT_XID, set);
  }

  async nextXid(set: NvmlEventSet, timeoutMs: number): Promise<NvmlResult<NvmlXid>> {
    const out = { device: 0, eventType: 0, eventData: 0, gpuInstanceId: 0, computeInstanceId: 0 };
    const types = [eventSet, outEventData, uint];
    const code = await this.library.callAside('nvmlEventSetWait_v2', types, set, out, timeoutMs);
    return result(code, () => ({ device: BigInt(out.device), xid: out.eventData }));
  }

  processName(pid: number): NvmlResult<string> {
    return this.string('nvmlSystemGetProcessName', uint, pid);
  }

  private runningProcesses(
    handle: NvmlDevice,
    kind: NvmlProcessKind,
    count: [number],
    infos: Buffer,
  ): number {
    const name = `nvmlDeviceGet${kind}RunningProcesses`;
    const types = [device, inoutUint, buffer];
    const code = this.library.call(`${name}_v3`, types, handle, count, infos);
    return code === NvmlCode.FUNCTION_NOT_FOUND
      ? this.library.call(`${name}_v2`, types, handle, count, infos)
      : code;
  }

  private number(name: string, types: FunctionTypes, args: readonly unknown[]): NvmlResult<number> {
    const out: [number] = [0];
    return result(this.library.call(name, [...types, outUint], ...args, out), () => out[0]);
  }

  private ulong(name: string, types: FunctionTypes, args: readonly unknown[]): NvmlResult<number> {
    const out: [number | bigint] = [0];
    return result(this.library.call(name, [...types, outUlong], ...args, out), () => Number(out[0]));
  }

  private string(name: string, type: string, subject: NvmlDevice | number): NvmlResult<string> {
    const text = Buffer.alloc(layout.NVML_STRING_SIZE);
    return result(this.library.call(name, [type, buffer, uint], subject, text, text.length), () => {
      const end = text.indexOf(0);
      return text.toString('utf8', 0, end === -1 ? text.length : end);
    });
  }
}

function decodeProcesses(infos: Buffer, count: number): NvmlProcess[] {
  return Array.from({ length: count }, (_, index) => {
    const info = koffi.decode(infos, index * PROCESS_SIZE, layout.nvmlProcessInfo) as {
      pid: number;
      usedGpuMemory: number | bigint;
    };
    // NVML_VALUE_NOT_AVAILABLE is all ones, which koffi hands over as a bigint; bytes never need one.
    return { pid: info.pid, usedMemory: typeof info.usedGpuMemory === 'bigint' ? null : info.usedGpuMemory };
  });
}
