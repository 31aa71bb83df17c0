import { messageOf } from '../../common/errors.js';
import { NvmlCode, type Nvml } from './nvml.js';
import type { NvmlFailure, NvmlReply } from './nvml-messages.js';
import { NvmlUninitializedError, readGpu } from './nvml-reader.js';
import type { XidWatch } from './xid-watch.js';
import { processName } from '../../host/process-name.js';

/** Loads and initialises NVML; what went wrong is a value, since it goes to another process. */
export function openNvml(load: () => Nvml): Nvml | NvmlFailure {
  let nvml: Nvml;
  try {
    nvml = load();
  } catch (error) {
    return { reason: 'library_not_loaded', text: messageOf(error) };
  }
  const code = nvml.init();
  if (code === NvmlCode.SUCCESS) return nvml;
  return { reason: 'init_failed', text: nvml.errorString(code), nvmlCode: code };
}

/** One reading of every GPU, with what was heard of them since the one before. */
export function sampleAll(nvml: Nvml, xids?: XidWatch): NvmlReply {
  const count = nvml.deviceCount();
  if (!count.ok) {
    const reason = count.code === NvmlCode.UNINITIALIZED ? 'uninitialized' : 'read_failed';
    return failed({ reason, text: nvml.errorString(count.code), nvmlCode: count.code });
  }
  try {
    xids?.watch(count.value);
    const readings = Array.from({ length: count.value }, (_, index) =>
      readGpu(nvml, index, (pid) => processName(pid, () => pathOf(nvml, pid))),
    );
    return {
      type: 'sample',
      samples: readings.map(({ sample }) => sample),
      lost: readings.some(({ lost }) => lost),
      ...xids?.heard(),
    };
  } catch (error) {
    if (!(error instanceof NvmlUninitializedError)) throw error;
    const code = NvmlCode.UNINITIALIZED;
    return failed({ reason: 'uninitialized', text: nvml.errorString(code), nvmlCode: code });
  }
}

function failed(failure: NvmlFailure): NvmlReply {
  return { type: 'failed', failure };
}

/** Path of a process' program, where the driver tells. */
function pathOf(nvml: Nvml, pid: number): string | undefined {
  const path = nvml.processName(pid);
  return path.ok ? path.value : undefined;
}
