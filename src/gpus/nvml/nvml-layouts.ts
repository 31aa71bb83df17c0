import koffi from 'koffi';

// As in nvml.h. None has a version before the one used here with another layout under the same symbol.

/** `nvmlUtilization_t`, percent. */
export const nvmlUtilization = koffi.struct({ gpu: 'uint32_t', memory: 'uint32_t' });

/** `nvmlMemory_t`, bytes; here `used` contains what the system reserves. */
export const nvmlMemoryV1 = koffi.struct({ total: 'uint64_t', free: 'uint64_t', used: 'uint64_t' });

/** `nvmlMemory_v2_t`, bytes. */
export const nvmlMemoryV2 = koffi.struct({
  version: 'uint32_t',
  total: 'uint64_t',
  reserved: 'uint64_t',
  free: 'uint64_t',
  used: 'uint64_t',
});

/** NVML_STRUCT_VERSION(Memory, 2): the size, and the version in the top byte. */
export const NVML_MEMORY_V2_VERSION = koffi.sizeof(nvmlMemoryV2) | (2 << 24);

/** `nvmlProcessInfo_v2_t`, and `nvmlProcessInfo_t` of the `_v3` calls: the two are the same. */
export const nvmlProcessInfo = koffi.struct({
  pid: 'uint32_t',
  usedGpuMemory: 'uint64_t',
  gpuInstanceId: 'uint32_t',
  computeInstanceId: 'uint32_t',
});

/** Room for a text; NVML's own largest (NVML_DEVICE_NAME_V2_BUFFER_SIZE) is 96, a process' path may be longer. */
export const NVML_STRING_SIZE = 256;

/** NVML_TEMPERATURE_GPU. */
export const NVML_TEMPERATURE_GPU = 0;

/** `nvmlEventData_t`; the device as a number, to be held against the handles. */
export const nvmlEventData = koffi.struct({
  device: 'uint64_t',
  eventType: 'uint64_t',
  eventData: 'uint64_t',
  gpuInstanceId: 'uint32_t',
  computeInstanceId: 'uint32_t',
});

/** nvmlEventTypeXidCriticalError. */
export const NVML_EVENT_XID = 0x8;

/** NVML_MEMORY_ERROR_TYPE_UNCORRECTED. */
export const NVML_UNCORRECTED = 1;

/** NVML_VOLATILE_ECC: since the driver was loaded. */
export const NVML_VOLATILE_ECC = 0;
