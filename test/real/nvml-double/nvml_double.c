/*
 * A stand-in for libnvidia-ml.so.1, compiled against NVIDIA's own nvml.h. Every field of every struct gets a value of
 * its own, so that a caller with a wrong layout reads a wrong value. Words in the file NVML_DOUBLE_CONTROL change what it
 * does: no-driver, uninitialized, lost, hang, crash; "0:4711" puts process 4711 on GPU 0, in place of all invented ones, and
 * "0:4711/612" with 612 MiB; "throttle=40" gives GPU 0 these reasons (hex), "ecc=3" as many errors, "remap-pending", "remap-failure" and "retiring" say
 * so of it; "xid=1.79;" is an Xid of GPU 1, once for each time that the word is new.
 *
 * GPU 0: all readings, more processes than fit a first guess. GPU 1: no power readings, memory of processes not
 * available. GPU 2: can be lost. GPU 3: not permitted.
 */
#define NVML_NO_UNVERSIONED_FUNC_DEFS
#include <nvml.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB (1024ULL * 1024ULL)
#define GPUS 4
/* Above the largest pid of Linux: /proc never knows them. */
#define FIRST_PID 5000000u
#define COMPUTE_PROCESSES 100u
#define ROOM 64u

static int gpus[GPUS];
static int uninitialized_at_init;
static int lost;

static const char *control(void) {
  static char text[1024];
  const char *path = getenv("NVML_DOUBLE_CONTROL");
  FILE *file = path ? fopen(path, "r") : NULL;
  size_t size = file ? fread(text, 1, sizeof text - 1, file) : 0;
  if (file) fclose(file);
  text[size] = 0;
  return text;
}

static int told(const char *word) { return strstr(control(), word) != NULL; }

static unsigned index_of(nvmlDevice_t device) { return (unsigned)((int *)device - gpus); }

/* Pids that the control file puts on this GPU, and their MiB (0: not said); how many. As with the driver, no process is among
 * them that has ended. */
static unsigned placed(nvmlDevice_t device, unsigned *pids, unsigned *mib, unsigned room) {
  unsigned found = 0;
  for (const char *colon = strchr(control(), ':'); colon && found < room; colon = strchr(colon + 1, ':')) {
    char *rest;
    unsigned pid = (unsigned)strtoul(colon + 1, &rest, 10);
    if ((unsigned)(colon[-1] - '0') != index_of(device) || kill((pid_t)pid, 0) != 0) continue;
    mib[found] = *rest == '/' ? (unsigned)atoi(rest + 1) : 0;
    pids[found++] = pid;
  }
  return found;
}

/* As in the driver, a GPU that was lost stays lost until the next initialisation. */
static nvmlReturn_t state_of(nvmlDevice_t device) {
  if (told("uninitialized") && !uninitialized_at_init) return NVML_ERROR_UNINITIALIZED;
  if (told("lost")) lost = 1;
  return lost && index_of(device) == 2 ? NVML_ERROR_GPU_IS_LOST : NVML_SUCCESS;
}

static nvmlReturn_t give(nvmlDevice_t device, unsigned *out, unsigned value) {
  nvmlReturn_t state = state_of(device);
  if (state == NVML_SUCCESS) *out = value + index_of(device);
  return state;
}

nvmlReturn_t nvmlInit_v2(void) {
  uninitialized_at_init = told("uninitialized");
  return told("no-driver") ? NVML_ERROR_DRIVER_NOT_LOADED : NVML_SUCCESS;
}

const char *nvmlErrorString(nvmlReturn_t code) {
  switch (code) {
    case NVML_ERROR_UNINITIALIZED: return "Uninitialized";
    case NVML_ERROR_NO_PERMISSION: return "Insufficient Permissions";
    case NVML_ERROR_DRIVER_NOT_LOADED: return "Driver Not Loaded";
    case NVML_ERROR_GPU_IS_LOST: return "GPU is lost";
    default: return "Unknown Error";
  }
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned *count) {
  *count = GPUS;
  return state_of((nvmlDevice_t)&gpus[0]);
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t *device) {
  if (index >= GPUS) return NVML_ERROR_INVALID_ARGUMENT;
  if (index == 3) return NVML_ERROR_NO_PERMISSION;
  *device = (nvmlDevice_t)&gpus[index];
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned length) {
  snprintf(uuid, length, "GPU-0000%u", index_of(device));
  return state_of(device);
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned length) {
  snprintf(name, length, "NVIDIA Double %u", index_of(device));
  return state_of(device);
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory) {
  memory->total = 24001 * MIB;
  memory->free = 20002 * MIB;
  memory->used = 3999 * MIB;
  return state_of(device);
}

#ifndef OLD_DRIVER
nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory) {
  if (memory->version != nvmlMemory_v2) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  memory->total = 24001 * MIB;
  memory->reserved = 403 * MIB;
  memory->free = 20002 * MIB;
  memory->used = 3596 * MIB;
  return state_of(device);
}
#endif

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *utilization) {
  utilization->gpu = 37;
  utilization->memory = 61;
  return state_of(device);
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, nvmlTemperatureSensors_t sensor, unsigned *celsius) {
  while (told("hang")) sleep(1000);
  if (told("crash")) abort();
  return sensor == NVML_TEMPERATURE_GPU ? give(device, celsius, 54) : NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned *milliwatts) {
  return index_of(device) == 1 ? NVML_ERROR_NOT_SUPPORTED : give(device, milliwatts, 150740);
}

nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t device, unsigned *milliwatts) {
  return index_of(device) == 1 ? NVML_ERROR_NOT_SUPPORTED : give(device, milliwatts, 350000);
}

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned *current, unsigned *pending) {
  (void)device, (void)current, (void)pending;
  return NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t nvmlSystemGetProcessName(unsigned pid, char *name, unsigned length) {
  snprintf(name, length, "/opt/double/p%u", pid);
  return NVML_SUCCESS;
}

/* `total` processes from `first` on, or those `placed`, which compute and draw; the n-th holds n+1 MiB. */
static nvmlReturn_t list(nvmlDevice_t device, unsigned *count, nvmlProcessInfo_t *infos, unsigned first, unsigned total) {
  unsigned room = *count;
  unsigned pids[ROOM], mib[ROOM] = {0};
  int invents = !told(":");
  if (!invents) total = first == FIRST_PID ? placed(device, pids, mib, ROOM) : 0;
  nvmlReturn_t state = state_of(device);
  if (state != NVML_SUCCESS) return state;
  *count = total;
  if (room < total) return NVML_ERROR_INSUFFICIENT_SIZE;
  memset(infos, 0xEE, room * sizeof *infos);
  for (unsigned i = 0; i < total; i++) {
    infos[i].pid = invents ? first + i : pids[i];
    infos[i].usedGpuMemory =
        index_of(device) == 1 ? (unsigned long long)NVML_VALUE_NOT_AVAILABLE
                              : (!invents && mib[i] != 0 ? mib[i] : i + 1) * MIB;
    infos[i].gpuInstanceId = 0xA0A0A0A0u;
    infos[i].computeInstanceId = 0xB0B0B0B0u;
  }
  return NVML_SUCCESS;
}

#ifdef OLD_DRIVER
#define VERSIONED(name) name##_v2
#define INFO nvmlProcessInfo_v2_t
#else
#define VERSIONED(name) name##_v3
#define INFO nvmlProcessInfo_t
#endif

nvmlReturn_t VERSIONED(nvmlDeviceGetComputeRunningProcesses)(nvmlDevice_t device, unsigned *count, INFO *infos) {
  return list(device, count, (nvmlProcessInfo_t *)infos, FIRST_PID, index_of(device) == 0 ? COMPUTE_PROCESSES : 1);
}

/* The first of the processes that compute draws, too. */
nvmlReturn_t VERSIONED(nvmlDeviceGetGraphicsRunningProcesses)(nvmlDevice_t device, unsigned *count, INFO *infos) {
  return list(device, count, (nvmlProcessInfo_t *)infos, FIRST_PID, 1);
}

#ifndef OLD_DRIVER
nvmlReturn_t VERSIONED(nvmlDeviceGetMPSComputeRunningProcesses)(nvmlDevice_t device, unsigned *count, INFO *infos) {
  return list(device, count, (nvmlProcessInfo_t *)infos, FIRST_PID + 1000, index_of(device) == 0 ? 2 : 0);
}
#endif

/* The number behind `word`, in base `base`; 0 without it. Faults are those of GPU 0; GPU 1 has no such readings. */
static unsigned long long fault_of(nvmlDevice_t device, const char *word, int base) {
  const char *found = strstr(control(), word);
  return found && index_of(device) == 0 ? strtoull(found + strlen(word), NULL, base) : 0;
}

static nvmlReturn_t fault(nvmlDevice_t device, unsigned long long *out, const char *word, int base) {
  if (index_of(device) == 1) return NVML_ERROR_NOT_SUPPORTED;
  *out = fault_of(device, word, base);
  return state_of(device);
}

#ifdef OLD_DRIVER
nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t device, unsigned long long *reasons) {
#else
nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t device, unsigned long long *reasons) {
#endif
  return fault(device, reasons, "throttle=", 16);
}

nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, nvmlMemoryErrorType_t type,
                                         nvmlEccCounterType_t counter, unsigned long long *count) {
  if (type != NVML_MEMORY_ERROR_TYPE_UNCORRECTED || counter != NVML_VOLATILE_ECC) return NVML_ERROR_INVALID_ARGUMENT;
  return fault(device, count, "ecc=", 10);
}

#ifndef OLD_DRIVER
nvmlReturn_t nvmlDeviceGetRemappedRows(nvmlDevice_t device, unsigned *corrected, unsigned *uncorrected,
                                       unsigned *pending, unsigned *failed) {
  if (index_of(device) == 1) return NVML_ERROR_NOT_SUPPORTED;
  *corrected = *uncorrected = 0xEE;
  *pending = index_of(device) == 0 && told("remap-pending");
  *failed = index_of(device) == 0 && told("remap-failure");
  return state_of(device);
}

nvmlReturn_t nvmlDeviceGetRetiredPagesPendingStatus(nvmlDevice_t device, nvmlEnableState_t *pending) {
  if (index_of(device) == 1) return NVML_ERROR_NOT_SUPPORTED;
  *pending = index_of(device) == 0 && told("retiring") ? NVML_FEATURE_ENABLED : NVML_FEATURE_DISABLED;
  return state_of(device);
}

static int event_set;
static unsigned registered;

nvmlReturn_t nvmlEventSetCreate(nvmlEventSet_t *set) {
  *set = (nvmlEventSet_t)&event_set;
  return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceRegisterEvents(nvmlDevice_t device, unsigned long long types, nvmlEventSet_t set) {
  if (set != (nvmlEventSet_t)&event_set || types != nvmlEventTypeXidCriticalError) return NVML_ERROR_INVALID_ARGUMENT;
  registered |= 1u << index_of(device);
  return state_of(device);
}

/* Runs in a thread of its own: it has its own look at the file. */
nvmlReturn_t nvmlEventSetWait_v2(nvmlEventSet_t set, nvmlEventData_t *data, unsigned timeout_ms) {
  static char seen[64];
  if (set != (nvmlEventSet_t)&event_set) return NVML_ERROR_INVALID_ARGUMENT;
  for (unsigned waited = 0; waited < timeout_ms; waited += 20) {
    char text[1024], word[64] = "";
    const char *path = getenv("NVML_DOUBLE_CONTROL");
    FILE *file = path ? fopen(path, "r") : NULL;
    size_t size = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file) fclose(file);
    text[size] = 0;
    unsigned index = 0, xid = 0;
    const char *found = strstr(text, "xid=");
    if (found && sscanf(found, "xid=%u.%u;", &index, &xid) == 2) snprintf(word, sizeof word, "%u.%u", index, xid);
    int is_new = word[0] && strcmp(word, seen) != 0 && index < GPUS && (registered >> index & 1u);
    if (!word[0] || is_new) strcpy(seen, word);
    if (is_new) {
      data->device = (nvmlDevice_t)&gpus[index];
      data->eventType = nvmlEventTypeXidCriticalError;
      data->eventData = xid;
      data->gpuInstanceId = data->computeInstanceId = 0xFFFFFFFFu;
      return NVML_SUCCESS;
    }
    usleep(20000);
  }
  return NVML_ERROR_TIMEOUT;
}
#endif
